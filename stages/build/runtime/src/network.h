// A network ready to run: the model's tensors in place, its operators checked.
#pragma once

#include "operators/floats.h"
#include "operators/indexed.h"
#include "operators/move.h"
#include "operators/recurrent.h"

namespace socquant {

// The picture as the user gives it -> what the network's first operators take: (x - mean) / normal, as codes or floats.
class Input : public Operator {
  public:
    bool prepare(Call& call) override {
        work.type = "Input";
        contract::Input attributes(call);
        channels_ = size_t(attributes.channels);
        out_ = &call.out();
        call.need(attributes.index >= 0 && size_t(attributes.index) < call.pictures());
        if (call.bad()) return call.finished();
        picture_ = call.picture(size_t(attributes.index)).data();
        call.need(out_->elements == call.elements(size_t(attributes.index)));
        call.need(call.inputs() == (out_->codes() ? 3 : 2) && (out_->codes() || out_->kind == Kind::f32));
        call.need_constant(call.in(0), Kind::f32, channels_);
        call.need_constant(call.in(1), Kind::f32, channels_);
        mean_ = call.in(0).as<float>(), normal_ = call.in(1).as<float>();
        if (out_->codes()) {
            call.need_constant(call.in(2), Kind::f32, 1);
            scale_ = call.bad() ? 1.0f : call.in(2).as<float>()[0];
        }
        return call.finished();
    }
    void run() override {
        const float* x = picture_;
        if (out_->codes())
            with_codes(*out_, [&](auto* out) {
                using T = std::remove_reference_t<decltype(*out)>;
                each(x, [&](size_t i, float value) {
                    out[i] = T(quantize(value, scale_, out_->zero_point, out_->qmax()));
                });
            });
        else
            each(x, [&](size_t i, float value) { out_->as<float>()[i] = value; });
    }

  private:
    template <class Function>
    void each(const float* x, Function work) {
        size_t channel = 0;
        for (size_t i = 0; i < out_->elements; i++) {
            work(i, (x[i] - mean_[channel]) / normal_[channel]);
            channel = channel + 1 == channels_ ? 0 : channel + 1;
        }
    }

    size_t channels_ = 1;
    const float *picture_ = nullptr, *mean_ = nullptr, *normal_ = nullptr;
    float scale_ = 1.0f;
    const Tensor* out_ = nullptr;
};

class Network {
  public:
    bool load(const char* path) {
        if (!load_model(path, model_)) return false;
        model_.pictures = std::vector<Buffer<float>>(model_.fed.size());
        for (size_t i = 0; i < model_.pictures.size(); i++)
            if (!model_.pictures[i].allocate(model_.fed[i].elements)) return false;
        double operations = 0, moved = 0;
        for (const Operation& operation : model_.operations) {
            std::unique_ptr<Operator> found = make(operation.code);
            if (!found) return fail("%s is damaged: no operation has the number %u", path, operation.code);
            Call call(operation, model_);
            if (!found->prepare(call)) return false;
            operations += found->work.operations;
            moved += double(tensor(operation.output).elements) * window(found->work);
            for (uint32_t input : operation.inputs) moved += double(tensor(input).elements);
            if (operations > MAX_OPERATIONS || moved > MAX_MOVED)
                return fail("%s is damaged: a run of it would take hours", path);
            operators_.push_back(std::move(found));
        }
        model_.weights.release();
        return true;
    }

    // Takes what a file holds: pixels NHWC, uint8 or float32; pictures of three channels may have a fourth that is 0.
    bool feed(size_t index, const uint8_t* bytes, size_t size, const char* name) {
        const Fed& input = model_.fed[index];
        size_t wide = input.channels == 3 ? input.elements / 3 * 4 : 0;
        float* to = model_.pictures[index].data();
        if (size == input.elements || size == input.elements * 4) {
            if (size == input.elements)
                for (size_t i = 0; i < input.elements; i++) to[i] = float(bytes[i]);
            else
                memcpy(to, bytes, size);
            return true;
        }
        if (wide && (size == wide || size == wide * 4)) {
            for (size_t i = 0; i < input.elements; i++) {
                size_t from = i / 3 * 4 + i % 3;
                if (size == wide)
                    to[i] = float(bytes[from]);
                else
                    memcpy(to + i, bytes + from * 4, 4);
            }
            return true;
        }
        return fail("%s has %zu bytes; input %s takes %u (uint8) or %u (float32)", name, size, input.name.c_str(),
                    input.elements, input.elements * 4);
    }

    size_t steps() const { return operators_.size(); }
    void run(size_t step) { operators_[step]->run(); }
    const Operation& operation(size_t step) const { return model_.operations[step]; }
    const Work& work(size_t step) const { return operators_[step]->work; }
    const Tensor& tensor(uint32_t index) const { return model_.tensors[index]; }
    const std::vector<Fed>& inputs() const { return model_.fed; }
    const std::vector<Output>& outputs() const { return model_.outputs; }
    size_t arena_bytes() const { return model_.arena.size(); }

  private:
    static constexpr double MAX_OPERATIONS = 1e13, MAX_MOVED = 1e11;  // multiplications and additions; elements

    // How often an element of the result is computed from another one: a pool's window.
    static double window(const Work& work) {
        return work.filter[0] && work.operations == 0 ? double(work.filter[0]) * work.filter[1] : 1.0;
    }

    static std::unique_ptr<Operator> make(uint32_t code) {
        switch (contract::Opcode(code)) {
#define SOCQUANT_CASE(opcode, operator_class) \
    case contract::Opcode::opcode: return std::make_unique<operator_class>();
            SOCQUANT_OPERATIONS(SOCQUANT_CASE)
#undef SOCQUANT_CASE
        }
        return nullptr;
    }

    Model model_;
    std::vector<std::unique_ptr<Operator>> operators_;
};

}  // namespace socquant
