// Declarations of Ingenic's documented Venus interface, as far as the board programs use it, so that they compile where
// the vendor's toolkit is not. Declarations only: fake.cpp beside it stands in for the library in tests.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <vector>

namespace magik {
namespace venus {

using shape_t = std::vector<int32_t>;

enum class TensorFormat : int { NHWC = 1, NV12 = 5 };
enum class ShareMemoryMode : int { DEFAULT = 0 };

class Tensor {
  public:
    Tensor(const Tensor&);
    explicit Tensor(void* inner);
    virtual ~Tensor();
    shape_t shape() const;
    void reshape(shape_t& shape) const;
    void reshape(std::initializer_list<int32_t> shape) const;
    template <typename T>
    const T* data() const;
    template <typename T>
    T* mudata() const;

  private:
    void* inner_;
};

class BaseNet {
  public:
    BaseNet();
    virtual ~BaseNet() = 0;
    virtual int load_model(const char* path, bool memory_model = false, int start_off = 0);
    virtual std::unique_ptr<Tensor> get_input(int index);
    virtual std::unique_ptr<const Tensor> get_output(int index);
    virtual int run();
};

int venus_init(int size = 0);
int venus_deinit();
std::unique_ptr<BaseNet> net_create(TensorFormat format = TensorFormat::NHWC,
                                    ShareMemoryMode memory = ShareMemoryMode::DEFAULT);

}  // namespace venus
}  // namespace magik

namespace venus = magik::venus;
