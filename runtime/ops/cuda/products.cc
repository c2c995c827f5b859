#include "ops/cuda/products.h"

#include <dlfcn.h>

#include "core/log.h"
#include "omni/error.h"
#include "ops/cuda/wanted_library.h"

namespace omni::ops::cuda {

using namespace cublaslt;

namespace {

void require(int status, const char* call) {
  if (status)
    throw Error(ErrorCode::device, std::string(call) + ": status " + std::to_string(status));
}

// A description, a layout or a preference, destroyed with it.
class Made {
 public:
  explicit Made(int (*destroy)(CublasLt::Object)) : destroy_(destroy) {}
  ~Made() {
    if (object_) destroy_(object_);
  }
  Made(const Made&) = delete;
  CublasLt::Object* out() { return &object_; }
  operator CublasLt::Object() const { return object_; }

 private:
  int (*destroy_)(CublasLt::Object);
  CublasLt::Object object_ = nullptr;
};

}  // namespace

const CublasLt* CublasLt::open(std::string* why) {
  static std::string problem;
  static const CublasLt* opened = []() -> const CublasLt* {
    void* library = nullptr;
    for (const char* name : {"libcublasLt.so.13", "libcublasLt.so.12"})
      if (!library) library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (!library) return problem = dlerror(), nullptr;
    static CublasLt c;
    const auto find = [&](auto& f, const char* name) {
      f = reinterpret_cast<std::remove_reference_t<decltype(f)>>(dlsym(library, name));
      if (!f) problem = std::string("libcublasLt without ") + name;
    };
    find(c.create, "cublasLtCreate"), find(c.destroy, "cublasLtDestroy");
    find(c.desc_create, "cublasLtMatmulDescCreate"),
        find(c.desc_destroy, "cublasLtMatmulDescDestroy"),
        find(c.desc_set, "cublasLtMatmulDescSetAttribute");
    find(c.layout_create, "cublasLtMatrixLayoutCreate"),
        find(c.layout_destroy, "cublasLtMatrixLayoutDestroy");
    find(c.preference_create, "cublasLtMatmulPreferenceCreate"),
        find(c.preference_destroy, "cublasLtMatmulPreferenceDestroy"),
        find(c.preference_set, "cublasLtMatmulPreferenceSetAttribute");
    find(c.heuristic, "cublasLtMatmulAlgoGetHeuristic"), find(c.matmul, "cublasLtMatmul");
    return problem.empty() ? &c : nullptr;
  }();
  if (!opened && why) *why = problem;
  return opened;
}

const CublasLt* Products::wanted() {
  static const CublasLt* library =
      wanted_library<CublasLt>("OMNI_CUBLASLT", "products of many rows through cuBLASLt");
  return library;
}

Products::Products(const CublasLt& library) : library_(library) {
  require(library.create(&handle_), "cublasLtCreate");
}

Products::~Products() {
  plans_.clear();
  library_.destroy(handle_);
}

// In cuBLAS's columns x is [n_in, n], the weight [n_in, n_out] and y [n_out, n]: y = weightᵀ · x,
// and a bias goes along the columns.
struct Products::Plan {
  explicit Plan(const CublasLt& library)
      : desc(library.desc_destroy),
        weight(library.layout_destroy),
        x(library.layout_destroy),
        y(library.layout_destroy) {}
  Made desc, weight, x, y;
  std::optional<HeuristicResult> algorithm;
};

Products::Plan& Products::plan_of(const Shape& s, const float* bias) {
  const auto [it, is_new] = plans_.try_emplace(s);
  if (!is_new) return *it->second;
  it->second = std::make_unique<Plan>(library_);
  Plan& plan = *it->second;
  const int type = s.precision == MatmulPrecision::bf16 ? R_16BF : R_32F,
            type_out = s.bf16_out ? R_16BF : R_32F, transposed = OP_T, biased = EPILOGUE_BIAS,
            compute = s.precision == MatmulPrecision::tf32 ? COMPUTE_32F_FAST_TF32 : COMPUTE_32F;
  require(library_.desc_create(plan.desc.out(), compute, R_32F), "cublasLtMatmulDescCreate");
  const auto set = [&](int name, const void* value, size_t bytes) {
    require(library_.desc_set(plan.desc, name, value, bytes), "cublasLtMatmulDescSetAttribute");
  };
  set(MATMUL_DESC_TRANSA, &transposed, sizeof transposed);
  if (s.biased) {
    set(MATMUL_DESC_EPILOGUE, &biased, sizeof biased);
    set(MATMUL_DESC_BIAS_POINTER, &bias, sizeof bias);  // one like those of the products
  }
  const auto lay_out = [&](Made& layout, int of, int rows, int64_t columns) {
    require(library_.layout_create(layout.out(), of, uint64_t(rows), uint64_t(columns), rows),
            "cublasLtMatrixLayoutCreate");
  };
  lay_out(plan.weight, type, s.n_in, s.n_out);
  lay_out(plan.x, type, s.n_in, s.n);
  lay_out(plan.y, type_out, s.n_out, s.n);

  Made preference(library_.preference_destroy);
  require(library_.preference_create(preference.out()), "cublasLtMatmulPreferenceCreate");
  require(library_.preference_set(preference, MATMUL_PREF_MAX_WORKSPACE_BYTES, &kWorkspace,
                                  sizeof kWorkspace),
          "cublasLtMatmulPreferenceSetAttribute");
  const uint32_t align = kAlign;
  for (int matrix = 0; matrix < 4; ++matrix)
    require(library_.preference_set(preference, MATMUL_PREF_MIN_ALIGNMENT_A_BYTES + matrix, &align,
                                    sizeof align),
            "cublasLtMatmulPreferenceSetAttribute");
  HeuristicResult best{};
  int found = 0;
  if (library_.heuristic(handle_, plan.desc, plan.weight, plan.x, plan.y, plan.y, preference, 1,
                         &best, &found) == 0 &&
      found && best.state == 0)
    plan.algorithm = best;
  else
    log(LogLevel::info, "cuBLASLt has no algorithm for " + std::to_string(s.n) + " × " +
                            std::to_string(s.n_in) + " → " + std::to_string(s.n_out) +
                            "; through the project's own kernels");
  return plan;
}

bool Products::run(const Shape& s, const void* x, const void* weight, const float* bias, void* y,
                   void* workspace, cudaStream_t stream) {
  const Plan& plan = plan_of(s, bias);
  if (!plan.algorithm) return false;
  if (s.biased)
    require(library_.desc_set(plan.desc, MATMUL_DESC_BIAS_POINTER, &bias, sizeof bias),
            "cublasLtMatmulDescSetAttribute");
  const float one = 1, before = s.into == Into::sum ? 1 : 0;
  require(
      library_.matmul(handle_, plan.desc, &one, weight, plan.weight, x, plan.x, &before, y, plan.y,
                      y, plan.y, plan.algorithm->algorithm, workspace, kWorkspace, stream),
      "cublasLtMatmul");
  return true;
}

}  // namespace omni::ops::cuda
