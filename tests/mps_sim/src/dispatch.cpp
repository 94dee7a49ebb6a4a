// Runs operators on 'mps' tensors: refuses what the real backend refuses, then calls the CPU kernel on CPU tensors that
// share the memory of the arguments.
#include "sim.h"

#include <ATen/EmptyTensor.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/stack.h>
#include <ATen/ops/_reshape_alias_native.h>
#include <ATen/ops/_scaled_dot_product_attention_math.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/view_native.h>
#include <c10/core/CPUAllocator.h>
#include <torch/library.h>
#include <cstring>
#include <mutex>
#include <set>
#include <sstream>
#include <unordered_map>

namespace mps_sim {
namespace {

using at::IntArrayRef;
using at::IValue;
using at::Tensor;
using c10::OperatorHandle;
using torch::jit::Stack;

// ---------------------------------------------------------------- which operators the real backend has

enum Mode { kRecord = 0, kError = 1, kFallback = 2 };
enum Support { kNative = 0, kBuiltinFallback = 1, kMissing = 2 };

struct Operator {
  std::string name; // as in the registration table, e.g. "add.out"
  Support support;
  bool reads_back;    // the real kernel waits for the GPU because the host needs its result
  bool mixes_devices; // takes CPU tensors next to MPS tensors
  std::vector<bool> takes_generator; // per parameter
  std::atomic<int64_t> calls{0}, float64_scalars{0};
};

std::mutex mutex; // guards the rest of this block
Mode mode = kError;
std::set<std::string> native_ops, fallback_ops;
std::unordered_map<const c10::OperatorName*, Operator> operators;

const std::set<std::string> kReadsBack = {
    "_local_scalar_dense", "equal", "nonzero", "nonzero.out", "masked_select", "masked_select.out", "_unique2",
    "unique_dim", "unique_consecutive", "unique_dim_consecutive"};
const std::set<std::string> kMixesDevices = {"copy_", "_copy_from", "_copy_from_and_resize", "_ctc_loss.Tensor"};
// Have a counterpart of another name in the table.
const std::set<std::string> kAlwaysNative = {"copy_", "convolution", "convolution_backward"};

Support support_of(const std::string& name) {
  if (native_ops.count(name) || kAlwaysNative.count(name)) return kNative;
  return fallback_ops.count(name) ? kBuiltinFallback : kMissing;
}

// Counts the call; throws if the real backend lacks the operator and the mode says so.
Operator& check_operator(const OperatorHandle& op) {
  std::unique_lock<std::mutex> lock(mutex);
  Operator& known = operators[&op.operator_name()];
  if (known.name.empty()) {
    const auto& full = op.operator_name();
    known.name = full.name.rfind("aten::", 0) == 0 ? full.name.substr(6) : full.name;
    if (!full.overload_name.empty()) known.name += "." + full.overload_name;
    known.support = support_of(known.name);
    known.reads_back = kReadsBack.count(known.name) > 0;
    known.mixes_devices = kMixesDevices.count(known.name) > 0;
    for (const auto& parameter : op.schema().arguments())
      known.takes_generator.push_back(parameter.type()->str().rfind("Generator", 0) == 0);
  }
  const bool first_call = ++known.calls == 1, missing = known.support == kMissing;
  const Mode now = mode;
  lock.unlock();
  if (missing) {
    TORCH_CHECK_NOT_IMPLEMENTED(now != kError, "The operator 'aten::", known.name, "' is not currently implemented "
        "for the MPS device. As a temporary fix, you can set the environment variable `PYTORCH_ENABLE_MPS_FALLBACK=1` "
        "to use the CPU as a fallback for this op. (mps_sim: the macOS build registers no MPS kernel for it)");
    if (now == kFallback && first_call)
      TORCH_WARN("The operator 'aten::", known.name, "' is not currently supported on the MPS backend and will fall "
                 "back to run on the CPU. This may have performance implications.");
  }
  return known;
}

// ---------------------------------------------------------------- the tensors of one call

class Call {
 public:
  explicit Call(Operator& op) : op_(op) {}

  // The CPU tensor over the same memory. Asked twice for a tensor it gives one alias, and tensors that share storage
  // get aliases that share storage, so that kernels see the overlaps they would see on the CPU.
  Tensor to_cpu(const Tensor& t, bool may_be_on_cpu) {
    if (!t.defined()) return t;
    if (!t.is_mps()) {
      on_cpu_.push_back(t);
      if (t.dim() > 0) refuse_ |= !may_be_on_cpu; // 0-dim CPU tensors count as numbers
      else if (t.scalar_type() == at::kDouble && !may_be_on_cpu && !impl(t)->is_wrapped_number()) ++op_.float64_scalars;
      return t;
    }
    check_layout(t);
    check_dtype(t.scalar_type());
    c10::Storage host;
    for (const auto& seen : on_mps_) {
      if (seen.mps.is_same(t)) return seen.cpu;
      if (seen.mps.storage().is_alias_of(t.storage())) host = seen.cpu.storage();
    }
    if (!host) {
      auto* keep_alive = new c10::Storage(t.storage());
      c10::DataPtr data(t.storage().mutable_data(), keep_alive,
                        [](void* context) { delete static_cast<c10::Storage*>(context); }, c10::Device(c10::kCPU));
      host = c10::Storage(c10::Storage::use_byte_size_t(), t.storage().nbytes(), std::move(data),
                          c10::GetCPUAllocator(), /*resizable=*/true);
    }
    auto cpu = at::detail::make_tensor<c10::TensorImpl>(std::move(host), c10::DispatchKey::CPU, t.dtype());
    copy_geometry(t, cpu);
    if (impl(t)->is_wrapped_number()) impl(cpu)->set_wrapped_number(true);
    on_mps_.push_back({t, cpu, cpu.storage().data()});
    return cpu;
  }

  // The MPS tensor for a result: an argument (in-place, out=), a view of one, or a new tensor.
  Tensor to_mps(const Tensor& cpu) {
    if (!cpu.defined() || !cpu.is_cpu()) return cpu;
    for (const auto& t : on_cpu_)
      if (t.is_same(cpu)) return t;
    check_layout(cpu);
    check_dtype(cpu.scalar_type());
    Tensor mps;
    for (const auto& seen : on_mps_) {
      if (seen.cpu.is_same(cpu)) return seen.mps;
      if (!mps.defined() && seen.cpu.storage().is_alias_of(cpu.storage()))
        mps = at::detail::make_tensor<c10::TensorImpl>(c10::TensorImpl::VIEW, c10::Storage(seen.mps.storage()),
                                                       impl(seen.mps)->key_set(), cpu.dtype());
    }
    if (!mps.defined())
      mps = at::detail::make_tensor<c10::TensorImpl>(
          c10::Storage(c10::Storage::use_byte_size_t(), cpu.storage().nbytes(), memory().adopt(cpu.storage()),
                       &memory(), /*resizable=*/true),
          c10::DispatchKey::MPS, cpu.dtype());
    copy_geometry(cpu, mps);
    on_mps_.push_back({mps, cpu, nullptr}); // another result may share its memory
    return mps;
  }

  // Kernels may resize their out= arguments, and with them their memory, or mark them as conjugated.
  void update_arguments() {
    for (const auto& seen : on_mps_) {
      const auto& host = seen.cpu.storage();
      auto* storage = seen.mps.storage().unsafeGetStorageImpl();
      if (host.data() != seen.data && host.data() != storage->data()) {
        storage->set_data_ptr_noswap(memory().adopt(host));
        storage->set_nbytes(host.nbytes());
      }
      copy_geometry(seen.cpu, seen.mps);
    }
  }

  void check_one_device(bool mps_generator) const {
    TORCH_CHECK(!refuse_ || on_mps_.empty(), "Expected all tensors to be on the same device, but found at least two "
                "devices, mps:0 and cpu! (in aten::", op_.name, ")");
    TORCH_CHECK(!mps_generator || on_cpu_.empty() || !on_mps_.empty(), // the generator alone led to this kernel
                "Expected a 'cpu' device type for generator but found 'mps'");
  }
  bool crosses_devices() const { return !on_mps_.empty() && !on_cpu_.empty(); }

 private:
  struct Pair { Tensor mps, cpu; const void* data; };

  static c10::TensorImpl* impl(const Tensor& t) { return t.unsafeGetTensorImpl(); }
  static void check_layout(const Tensor& t) {
    TORCH_CHECK_NOT_IMPLEMENTED(t.layout() == at::kStrided, "mps_sim simulates strided tensors only, not ", t.layout());
  }
  static void copy_geometry(const Tensor& from, const Tensor& to) {
    if (from.sizes() != to.sizes() || from.strides() != to.strides() || from.storage_offset() != to.storage_offset())
      impl(to)->set_sizes_and_strides(from.sizes(), from.strides(), from.storage_offset());
    if (from.is_conj() != to.is_conj()) impl(to)->_set_conj(from.is_conj());
    if (from.is_neg() != to.is_neg()) impl(to)->_set_neg(from.is_neg());
  }

  Operator& op_;
  std::vector<Pair> on_mps_;
  std::vector<Tensor> on_cpu_;
  bool refuse_ = false;
};

// ---------------------------------------------------------------- kernels

// Applies `convert(tensor, is_index)` to a tensor or to each tensor of a list.
template <class Convert>
void convert_tensors(IValue& value, Convert convert) {
  if (value.isTensor()) {
    value = convert(value.toTensor(), false);
  } else if (value.isTensorList()) {
    c10::List<Tensor> tensors;
    for (const auto& t : value.toTensorVector()) tensors.push_back(convert(t, false));
    value = std::move(tensors);
  } else if (value.isOptionalTensorList()) { // only lists of indices have this type
    c10::List<std::optional<Tensor>> tensors;
    for (const std::optional<Tensor> t : value.toOptionalTensorList())
      tensors.push_back(t ? std::optional<Tensor>(convert(*t, true)) : t);
    value = std::move(tensors);
  }
}

// The kernel of every operator that has no other one for MPS.
void run_on_cpu(const OperatorHandle& op, Stack* stack) {
  Operator& known = check_operator(op);
  Call call(known);
  const size_t parameters = op.schema().arguments().size(), returns = op.schema().returns().size();
  const bool to_mps = known.name == "copy_" && torch::jit::peek(*stack, 0, 3).toTensor().is_mps();
  bool generator = false;
  for (size_t i = 0; i < parameters; ++i) {
    IValue& value = torch::jit::peek(*stack, i, parameters);
    convert_tensors(value, [&](const Tensor& t, bool is_index) {
      return call.to_cpu(t, known.mixes_devices || is_index); // PyTorch accepts indices on the CPU
    });
    if (known.takes_generator[i]) {
      generator = !value.isNone();
      value = cpu_generator_behind(generator ? value.toGenerator() : at::Generator());
    } else if (value.isDevice() && value.toDevice().is_mps()) {
      value = c10::Device(c10::kCPU);
    }
  }
  call.check_one_device(generator);
  const bool transfer = known.name == "copy_" && call.crosses_devices();
  const bool blocking = transfer && !torch::jit::peek(*stack, 2, 3).toBool(); // the parameter non_blocking
  if (known.reads_back || blocking) ++sync_points;
  if (blocking && to_mps) ++uploads;
  try {
    at::AutoDispatchBelowADInplaceOrView below_autograd;
    op.redispatchBoxed(c10::DispatchKeySet(c10::DispatchKey::CPU), stack);
  } catch (...) {
    call.update_arguments(); // a kernel that fails may have done so already
    throw;
  }
  call.update_arguments();
  for (size_t i = 0; i < returns; ++i)
    convert_tensors(torch::jit::peek(*stack, i, returns), [&](const Tensor& t, bool) { return call.to_mps(t); });
}

// Builds without Metal send convolutions of unknown devices here; the CPU knows them under their public names.
void convolution(const OperatorHandle&, Stack* stack) {
  run_on_cpu(c10::Dispatcher::singleton().findSchemaOrThrow("aten::convolution", ""), stack);
}
void convolution_backward(const OperatorHandle& op, Stack* stack) {
  const auto parameters = static_cast<int64_t>(op.schema().arguments().size());
  const Tensor grad_output = torch::jit::peek(*stack, 0, parameters).toTensor();
  const std::vector<int64_t> bias_sizes{grad_output.size(1)}; // the one parameter that only the public operator has
  stack->insert(stack->end() - parameters + 3, IValue(bias_sizes));
  run_on_cpu(c10::Dispatcher::singleton().findSchemaOrThrow("aten::convolution_backward", ""), stack);
}

Tensor empty(IntArrayRef size, std::optional<at::ScalarType> dtype, std::optional<at::Layout>,
             std::optional<at::Device>, std::optional<bool>, std::optional<at::MemoryFormat> format) {
  const auto type = at::dtype_or_default(dtype);
  check_dtype(type);
  TORCH_CHECK(size.size() <= 16, "MPS supports tensors with dimensions <= 16, but got ", size.size(), ".");
  return at::detail::empty_generic(size, &memory(), c10::DispatchKeySet(c10::DispatchKey::MPS), type, format);
}

Tensor empty_strided(IntArrayRef size, IntArrayRef stride, std::optional<at::ScalarType> dtype,
                     std::optional<at::Layout>, std::optional<at::Device>, std::optional<bool>) {
  const auto type = at::dtype_or_default(dtype);
  check_dtype(type);
  return at::detail::empty_strided_generic(size, stride, &memory(), c10::DispatchKeySet(c10::DispatchKey::MPS), type);
}

// Autograd's placeholder for zeros; the key tells operators never to look at the memory.
Tensor zero_placeholder(IntArrayRef size, std::optional<at::ScalarType> dtype, std::optional<at::Layout>,
                        std::optional<at::Device>, std::optional<bool>) {
  const auto type = at::dtype_or_default(dtype);
  check_dtype(type);
  const auto keys = c10::DispatchKeySet({c10::DispatchKey::MPS, c10::DispatchKey::ZeroTensor});
  return at::detail::empty_generic(size, &memory(), keys, type, std::nullopt);
}

// set_(): lets a tensor look at other memory, which the aliases above cannot express.
Tensor& set_storage_strided(Tensor& self, c10::Storage source, int64_t offset, IntArrayRef size, IntArrayRef stride) {
  TORCH_CHECK(source.device().is_mps(), "Attempted to set the storage of a tensor on device \"", self.device(),
              "\" to a storage on different device \"", source.device(), "\".");
  auto* impl = self.unsafeGetTensorImpl();
  impl->set_storage_keep_dtype(source);
  impl->set_storage_offset(offset);
  if (stride.empty()) impl->set_sizes_contiguous(size);
  else impl->set_sizes_and_strides(size, stride);
  const size_t needed = at::detail::computeStorageNbytes(self.sizes(), self.strides(), self.itemsize(), offset);
  if (needed > source.nbytes()) {
    auto data = memory().allocate(needed);
    std::memcpy(data.mutable_get(), source.data(), source.nbytes());
    source.set_data_ptr_noswap(std::move(data));
    source.set_nbytes(needed);
  }
  return self;
}
Tensor& set_storage(Tensor& self, c10::Storage source) {
  const auto elements = static_cast<int64_t>(source.nbytes() / self.itemsize());
  return set_storage_strided(self, std::move(source), 0, {elements}, {});
}
Tensor& set_tensor(Tensor& self, const Tensor& source) {
  return self.is_same(source) ? self : set_storage_strided(self, source.storage(), source.storage_offset(),
                                                           source.sizes(), source.strides());
}
Tensor& set_empty(Tensor& self) {
  return set_storage_strided(self, c10::Storage(c10::Storage::use_byte_size_t(), 0, memory().allocate(0), &memory(),
                                                /*resizable=*/true), 0, {0}, {});
}

// The CPU kernel has no parameter for a generator and would draw from the CPU's.
std::tuple<Tensor, Tensor> native_dropout(const Tensor& input, double probability, std::optional<bool> train) {
  const bool active = train.value_or(true) && probability > 0;
  Tensor mask = at::empty_like(input, input.options().dtype(at::kBool));
  if (!active) return {input.clone(), mask.fill_(true)};
  mask.bernoulli_(1 - probability);
  return {input.mul(mask).mul_(probability < 1 ? 1 / (1 - probability) : 0.0), mask};
}

// PyTorch would look for a table of fused implementations for MPS, which only the build for macOS has.
Tensor attention(const Tensor& query, const Tensor& key, const Tensor& value, const std::optional<Tensor>& mask,
                 double dropout, bool causal, std::optional<double> scale, bool grouped) {
  return std::get<0>(
      at::_scaled_dot_product_attention_math(query, key, value, mask, dropout, causal, {}, scale, grouped));
}

TORCH_LIBRARY_IMPL(_, MPS, library) {
  library.fallback(torch::CppFunction::makeFromBoxedFunction<&run_on_cpu>());
}
TORCH_LIBRARY_IMPL(aten, MPS, library) {
  library.impl("empty.memory_format", &empty);
  library.impl("empty_strided", &empty_strided);
  library.impl("_efficientzerotensor", &zero_placeholder);
  library.impl("set_", &set_empty);
  library.impl("set_.source_Tensor", &set_tensor);
  library.impl("set_.source_Storage", &set_storage);
  library.impl("set_.source_Storage_storage_offset", &set_storage_strided);
  library.impl("native_dropout", &native_dropout);
  library.impl("scaled_dot_product_attention", &attention);
  library.impl("convolution_overrideable", torch::CppFunction::makeFromBoxedFunction<&convolution>());
  library.impl("convolution_backward_overrideable",
               torch::CppFunction::makeFromBoxedFunction<&convolution_backward>());
  // PyTorch's own kernel for all backends asks for a copy kernel per device.
  library.impl("copy_", torch::CppFunction::makeFromBoxedFunction<&run_on_cpu>());
  // These only make another tensor over the same memory, whatever the device.
  library.impl("as_strided", &at::native::as_strided_tensorimpl);
  library.impl("view", &at::native::view);
  library.impl("_reshape_alias", &at::native::_reshape_alias);
}

TORCH_LIBRARY_IMPL(aten, AutogradMPS, library) {
  library.impl("scaled_dot_product_attention", &attention); // made of operators that autograd knows
}

std::set<std::string> words(const char* text) {
  std::istringstream stream(text);
  return {std::istream_iterator<std::string>(stream), {}};
}

} // namespace

// ---------------------------------------------------------------- called from Python

extern "C" {

void mps_sim_configure(const char* native, const char* fallback, int new_mode, int64_t limit, int64_t max_buffer,
                       int64_t recommended) {
  std::lock_guard<std::mutex> lock(mutex);
  native_ops = words(native);
  fallback_ops = words(fallback);
  mode = static_cast<Mode>(new_mode);
  for (auto& entry : operators) entry.second.support = support_of(entry.second.name);
  memory().limit = limit;
  memory().max_buffer = max_buffer;
  memory().recommended = recommended;
}

void mps_sim_reset() {
  std::lock_guard<std::mutex> lock(mutex);
  for (auto& entry : operators) entry.second.calls = entry.second.float64_scalars = 0; // the entries stay
  sync_points = uploads = 0;
  memory().peak = memory().allocated.load();
}

// One line per operator that was called: name, support, calls, calls with a float64 CPU scalar.
const char* mps_sim_operators() {
  static std::string report;
  std::lock_guard<std::mutex> lock(mutex);
  std::ostringstream lines;
  for (const auto& [key, op] : operators)
    if (op.calls) lines << op.name << ' ' << op.support << ' ' << op.calls << ' ' << op.float64_scalars << '\n';
  report = lines.str();
  return report.c_str();
}

int64_t mps_sim_sync_points() { return sync_points; }
int64_t mps_sim_uploads() { return uploads; }
int64_t mps_sim_allocated_bytes() { return memory().allocated; }
int64_t mps_sim_peak_bytes() { return memory().peak; }

} // extern "C"
} // namespace mps_sim
