// Recurrent layers: plain ones, GRU, LSTM. States are double from step to step, and rounded where they are handed out.
#pragma once

#include "operators/elementwise.h"

namespace socquant {

// Inputs: x [steps, batch, inputs], weights [gates * hidden, inputs], recurrent weights [gates * hidden, hidden], biases
// of both [gates * hidden], first state and first cell [batch, hidden], weights of the cell in the gates (input, output,
// forget) [3 * hidden], steps of each row of the batch [batch], and two parameters of each activation, then the clip.
class Recurrent : public Operator {
  public:
    bool prepare(Call& call) override {
        contract::Recurrent attributes(call);
        cell_ = attributes.cell, reverse_ = attributes.reverse;
        work.type = cell_ == Cell::rnn ? "RNN" : cell_ == Cell::lstm ? "LSTM" : "GRU";
        steps_ = size_t(attributes.steps), batch_ = size_t(attributes.batch);
        inputs_ = size_t(attributes.inputs), hidden_ = size_t(attributes.hidden);
        functions_[0] = attributes.f, functions_[1] = attributes.g, functions_[2] = attributes.h;
        gates_ = cell_ == Cell::rnn ? 1 : cell_ == Cell::lstm ? 4 : 3;
        for (Function function : functions_) call.need(function < Function::is_nan);
        uint64_t state = product(batch_, hidden_), gates = product(gates_, hidden_);
        uint64_t sizes[8] = {product(steps_, batch_, inputs_), product(gates, inputs_), product(gates, hidden_),
                             gates, gates, state, state, product(3, hidden_)};
        call.need(call.inputs() == 10);
        for (size_t i = 0; i < 8; i++) {
            Tensor& tensor = call.in(i);
            call.need(tensor.kind == Kind::f32 && tensor.elements == sizes[i]);
            operands_[i] = tensor.as<float>();
        }
        call.need_constant(call.in(8), Kind::i32, batch_);
        call.need_constant(call.in(9), Kind::f32, 7);
        call.need(call.out().kind == Kind::f32 && call.out().elements == product(steps_ + 2, state));
        if (call.bad()) return call.finished();
        lengths_ = call.in(8).as<int32_t>(), parameters_ = call.in(9).as<float>();
        for (size_t row = 0; row < batch_; row++) call.need(lengths_[row] >= 0 && size_t(lengths_[row]) <= steps_);
        work.operations = 2.0 * double(steps_) * double(batch_) * double(gates) * double(inputs_ + hidden_);
        out_ = call.out().as<float>();
        return call.finished() && state_.allocate(hidden_) && state_of_cell_.allocate(hidden_) &&
               given_.allocate(gates) && recurred_.allocate(gates) && reset_.allocate(hidden_);
    }

    void run() override {
        memset(out_, 0, (steps_ + 2) * batch_ * hidden_ * sizeof(float));
        for (size_t row = 0; row < batch_; row++) {
            size_t length = size_t(lengths_[row]);
            for (size_t i = 0; i < hidden_; i++) {
                state_[i] = double(operands_[5][row * hidden_ + i]);
                state_of_cell_[i] = double(operands_[6][row * hidden_ + i]);
            }
            for (size_t k = 0; k < length; k++) {
                size_t step = reverse_ ? length - 1 - k : k;
                next(operands_[0] + (step * batch_ + row) * inputs_);
                hand_out(state_, step, row);
            }
            hand_out(state_, steps_, row);
            hand_out(state_of_cell_, steps_ + 1, row);
        }
    }

  private:
    using Cell = contract::RecurrentCell;
    using Function = contract::FloatUnaryFunction;

    void hand_out(const Buffer<double>& values, size_t step, size_t row) {
        for (size_t i = 0; i < hidden_; i++) out_[(step * batch_ + row) * hidden_ + i] = float(values[i]);
    }

    double activated(int number, double x) const {
        double limit = double(parameters_[6]);
        return function_of(functions_[number], parameters_[2 * number], parameters_[2 * number + 1],
                           clamp(x, -limit, limit));
    }

    template <class X>
    void rows_times(const float* weights, const float* bias, const X* x, size_t count, size_t first, size_t rows,
                    double* sums) const {
        for (size_t row = first; row < first + rows; row++) {
            double total = 0.0;
            const float* weight = weights + row * count;
            for (size_t i = 0; i < count; i++) total += double(x[i]) * double(weight[i]);
            sums[row] = total + double(bias[row]);
        }
    }

    void next(const float* x) {
        bool late = cell_ == Cell::gru;  // the state is reset before it meets the last gate's weights
        rows_times(operands_[1], operands_[3], x, inputs_, 0, gates_ * hidden_, given_.data());
        rows_times(operands_[2], operands_[4], state_.data(), hidden_, 0, (late ? 2 : gates_) * hidden_, recurred_.data());
        if (cell_ == Cell::lstm) return next_lstm();
        if (cell_ == Cell::rnn) {
            for (size_t i = 0; i < hidden_; i++) state_[i] = activated(0, given_[i] + recurred_[i]);
            return;
        }
        next_gru(late);
    }

    void next_gru(bool late) {
        size_t r = hidden_, h = 2 * hidden_;  // gates lie as update, reset, hidden
        for (size_t i = 0; i < hidden_; i++) reset_[i] = activated(0, given_[r + i] + recurred_[r + i]);
        if (late) {
            for (size_t i = 0; i < hidden_; i++) reset_[i] *= state_[i];
            rows_times(operands_[2], operands_[4], reset_.data(), hidden_, h, hidden_, recurred_.data());
        } else {
            for (size_t i = 0; i < hidden_; i++) recurred_[h + i] *= reset_[i];
        }
        for (size_t i = 0; i < hidden_; i++) {
            double update = activated(0, given_[i] + recurred_[i]);
            double candidate = activated(1, given_[h + i] + recurred_[h + i]);
            state_[i] = (1.0 - update) * candidate + update * state_[i];
        }
    }

    void next_lstm() {
        const float *in_cell = operands_[7], *out_cell = in_cell + hidden_, *forget_cell = out_cell + hidden_;
        size_t o = hidden_, f = 2 * hidden_, c = 3 * hidden_;  // gates lie as input, output, forget, cell
        for (size_t i = 0; i < hidden_; i++) {
            double& cell = state_of_cell_[i];
            double in = activated(0, given_[i] + recurred_[i] + double(in_cell[i]) * cell);
            double forget = activated(0, given_[f + i] + recurred_[f + i] + double(forget_cell[i]) * cell);
            cell = forget * cell + in * activated(1, given_[c + i] + recurred_[c + i]);
            double out = activated(0, given_[o + i] + recurred_[o + i] + double(out_cell[i]) * cell);
            state_[i] = out * activated(2, cell);
        }
    }

    Cell cell_ = Cell::rnn;
    bool reverse_ = false;
    size_t steps_ = 1, batch_ = 1, inputs_ = 1, hidden_ = 1, gates_ = 1;
    Function functions_[3] = {};
    const float* operands_[8] = {};
    const int32_t* lengths_ = nullptr;
    const float* parameters_ = nullptr;
    float* out_ = nullptr;
    Buffer<double> state_, state_of_cell_, given_, recurred_, reset_;
};

}  // namespace socquant
