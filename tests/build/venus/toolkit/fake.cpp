// A stand-in for libvenus on any machine. In the folder $FAKE: output_N.bin and output_N.shape (sizes in words) are what
// the network gives; input.bin is what it was fed; `log` has the calls, and how many tensors and nets live at the end.
// $FAIL names a call that fails; $FAIL=input or output: there is none.

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "venus.h"

namespace {

int alive = 0;

std::string place(const std::string& name) { return std::string(getenv("FAKE")) + "/" + name; }

void log(const char* line, int number = 0) {
    FILE* file = fopen(place("log").c_str(), "a");
    fprintf(file, line, number);
    fputc('\n', file);
    fclose(file);
}

bool fails(const char* call) {
    const char* wanted = getenv("FAIL");
    return wanted && strcmp(wanted, call) == 0;
}

struct Inner {
    magik::venus::shape_t shape;
    std::vector<uint8_t> bytes;
};

void resize(Inner& inner) {
    size_t count = 1;
    for (int size : inner.shape) count *= size;
    inner.bytes.resize(count);
}

Inner fed;
std::vector<Inner> given;

struct Net : magik::venus::BaseNet {
    Net() { alive++; }
    ~Net() override { alive--; }
};

}  // namespace

namespace magik {
namespace venus {

Tensor::Tensor(void* inner) : inner_(inner) { alive++; }
Tensor::Tensor(const Tensor& other) : inner_(other.inner_) { alive++; }
Tensor::~Tensor() { alive--; }
shape_t Tensor::shape() const { return static_cast<Inner*>(inner_)->shape; }
void Tensor::reshape(shape_t& shape) const {
    static_cast<Inner*>(inner_)->shape = shape;
    resize(*static_cast<Inner*>(inner_));
}
void Tensor::reshape(std::initializer_list<int32_t> shape) const {
    shape_t sizes(shape);
    reshape(sizes);
}
template <typename T>
const T* Tensor::data() const {
    return reinterpret_cast<const T*>(static_cast<Inner*>(inner_)->bytes.data());
}
template <typename T>
T* Tensor::mudata() const {
    return reinterpret_cast<T*>(static_cast<Inner*>(inner_)->bytes.data());
}
template const float* Tensor::data<float>() const;
template const uint8_t* Tensor::data<uint8_t>() const;
template uint8_t* Tensor::mudata<uint8_t>() const;

BaseNet::BaseNet() {}
BaseNet::~BaseNet() {}

int BaseNet::load_model(const char*, bool, int) {
    log("load");
    given.clear();
    for (int i = 0;; i++) {
        FILE* file = fopen(place("output_" + std::to_string(i) + ".shape").c_str(), "r");
        if (!file) break;
        Inner inner;
        for (int size; fscanf(file, "%d", &size) == 1;) inner.shape.push_back(size);
        fclose(file);
        file = fopen(place("output_" + std::to_string(i) + ".bin").c_str(), "rb");
        for (int byte; (byte = fgetc(file)) != EOF;) inner.bytes.push_back(uint8_t(byte));
        fclose(file);
        given.push_back(inner);
    }
    return fails("load") ? -1 : 0;
}
std::unique_ptr<Tensor> BaseNet::get_input(int index) {
    return std::unique_ptr<Tensor>(index == 0 && !fails("input") ? new Tensor(&fed) : nullptr);
}
std::unique_ptr<const Tensor> BaseNet::get_output(int index) {
    const bool there = index < int(given.size()) && !fails("output");
    return std::unique_ptr<const Tensor>(there ? new Tensor(&given[size_t(index)]) : nullptr);
}
int BaseNet::run() {
    log("run");
    FILE* file = fopen(place("input.bin").c_str(), "wb");
    fwrite(fed.bytes.data(), 1, fed.bytes.size(), file);
    fclose(file);
    return fails("run") ? -1 : 0;
}

int venus_init(int) {
    log("init");
    return fails("init") ? -1 : 0;
}
int venus_deinit() {
    log("deinit, %d alive", alive);
    return fails("deinit") ? -1 : 0;
}
std::unique_ptr<BaseNet> net_create(TensorFormat format, ShareMemoryMode) {
    log("create, format %d", int(format));
    return std::unique_ptr<BaseNet>(fails("create") ? nullptr : new Net);
}

}  // namespace venus
}  // namespace magik
