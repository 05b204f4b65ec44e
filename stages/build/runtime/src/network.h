// A network ready to run: the model's tensors in place, its operators checked.
#pragma once

#include "floats.h"
#include "move.h"

namespace socquant {

// The picture as the user gives it -> what the network's first operators take: (x - mean) / normal, as codes or floats.
class Feed : public Operator {
  public:
    explicit Feed(std::vector<Buffer<float>>& pictures, const std::vector<Input>& inputs)
        : pictures_(pictures), inputs_(inputs) {}

    bool prepare(Call& call) override {
        work.type = "Input";
        index_ = size_t(call.attribute(0, int32_t(inputs_.size()) - 1));
        channels_ = size_t(call.size());
        out_ = &call.out();
        call.need(!inputs_.empty() && index_ < inputs_.size() && out_->elements == inputs_[index_].elements);
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
        const float* x = pictures_[index_].data();
        if (out_->codes())
            with_codes(*out_, [&](auto* out) {
                using T = std::remove_reference_t<decltype(*out)>;
                each(x, [&](size_t i, float value) {
                    out[i] = T(quantize(value, scale_, out_->zero_point, out_->top()));
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

    std::vector<Buffer<float>>& pictures_;
    const std::vector<Input>& inputs_;
    size_t index_ = 0, channels_ = 1;
    const float *mean_ = nullptr, *normal_ = nullptr;
    float scale_ = 1.0f;
    const Tensor* out_ = nullptr;
};

class Network {
  public:
    bool load(const char* path) {
        if (!load_model(path, model_)) return false;
        pictures_ = std::vector<Buffer<float>>(model_.inputs.size());
        for (size_t i = 0; i < pictures_.size(); i++)
            if (!pictures_[i].allocate(model_.inputs[i].elements)) return false;
        for (const Operation& operation : model_.operations) {
            std::unique_ptr<Operator> found = make(operation.code);
            if (!found) return fail("%s is damaged: no operation has the number %u", path, operation.code);
            Call call(operation, model_.tensors);
            if (!found->prepare(call)) return false;
            operators_.push_back(std::move(found));
        }
        model_.weights.release();
        return true;
    }

    // Takes what a file holds: pixels NHWC, uint8 or float32; pictures of three channels may have a fourth that is 0.
    bool feed(size_t index, const uint8_t* bytes, size_t size, const char* name) {
        const Input& input = model_.inputs[index];
        size_t wide = input.channels == 3 ? input.elements / 3 * 4 : 0;
        float* to = pictures_[index].data();
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
    const std::vector<Input>& inputs() const { return model_.inputs; }
    const std::vector<Output>& outputs() const { return model_.outputs; }
    size_t arena_bytes() const { return model_.arena.size(); }

  private:
    std::unique_ptr<Operator> make(uint32_t code) {
        Operator* found = nullptr;
        switch (code) {
            case 0: found = new Feed(pictures_, model_.inputs); break;
            case 1: found = new Move; break;
            case 2: found = new Conv; break;
            case 3: found = new Binary; break;
            case 4: found = new Concat; break;
            case 5: found = new Table; break;
            case 6: found = new Mean; break;
            case 7: found = new MaxPool; break;
            case 8: found = new AveragePool; break;
            case 9: found = new Resize; break;
            case 10: found = new MatMulFeatures; break;
            case 11: found = new Quantize; break;
            case 12: found = new Dequantize; break;
            case 13: found = new FloatUnary; break;
            case 14: found = new FloatBinary; break;
            case 15: found = new FloatConv; break;
            case 16: found = new FloatMatMul; break;
            case 17: found = new FloatSum; break;
            case 18: found = new Softmax; break;
        }
        return std::unique_ptr<Operator>(found);
    }

    Model model_;
    std::vector<Buffer<float>> pictures_;
    std::vector<std::unique_ptr<Operator>> operators_;
};

}  // namespace socquant
