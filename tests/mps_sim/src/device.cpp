// What PyTorch expects of an accelerator besides operators: memory, random numbers, streams and events, and the "hooks"
// object behind torch.mps. Work is done at once on the host, so streams and events never have anything to wait for.
#include "sim.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/EmptyTensor.h>
#include <ATen/core/Tensor.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <ATen/detail/MPSHooksInterface.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <chrono>
#include <cstring>
#include <mutex>
#include <unordered_map>

namespace mps_sim {

std::atomic<int64_t> sync_points{0}, uploads{0};

// ---------------------------------------------------------------- memory

namespace {

std::string mebibytes(int64_t bytes) { return c10::str(static_cast<double>(bytes) / (1 << 20), " MiB"); }

void raise_to(std::atomic<int64_t>& maximum, int64_t value) {
  for (int64_t seen = maximum; value > seen && !maximum.compare_exchange_weak(seen, value);) {}
}

// Counts its bytes as allocated for as long as it lives.
struct Buffer {
  int64_t bytes;
  c10::DataPtr own;     // memory allocated for it, or
  c10::Storage adopted; // memory taken over from a CPU kernel

  explicit Buffer(size_t size) : bytes(static_cast<int64_t>(size)) {
    auto& m = memory();
    TORCH_CHECK(!m.max_buffer || bytes <= m.max_buffer, "Invalid buffer size: ", mebibytes(bytes));
    TORCH_CHECK(!m.limit || m.allocated + bytes <= m.limit, "MPS backend out of memory (MPS allocated: ",
                mebibytes(m.allocated), ", max allowed: ", mebibytes(m.limit), "). Tried to allocate ",
                mebibytes(bytes), " (limit set in mps_sim).");
    const int64_t now = m.allocated += bytes;
    raise_to(m.peak, now);
    raise_to(m.reserved, now);
  }
  ~Buffer() { memory().allocated -= bytes; }

  static c10::DataPtr give(std::unique_ptr<Buffer> buffer, void* data) {
    return {data, buffer.release(), [](void* context) { delete static_cast<Buffer*>(context); }, kDevice};
  }
};

} // namespace

Memory& memory() {
  static auto* instance = new Memory(); // never freed: tensors may outlive static objects
  return *instance;
}

c10::DataPtr Memory::allocate(size_t bytes) {
  auto buffer = std::make_unique<Buffer>(bytes);
  buffer->own = c10::GetCPUAllocator()->allocate(bytes);
  void* data = buffer->own.get();
  return Buffer::give(std::move(buffer), data);
}

c10::DataPtr Memory::adopt(c10::Storage host) {
  auto buffer = std::make_unique<Buffer>(host.nbytes());
  void* data = host.mutable_data();
  buffer->adopted = std::move(host);
  return Buffer::give(std::move(buffer), data);
}

void Memory::copy_data(void* to, const void* from, size_t bytes) const { std::memcpy(to, from, bytes); }

Memory::Stats Memory::getDeviceStats(c10::DeviceIndex) {
  Stats stats;
  stats.allocated_bytes[0].current = allocated; // [0]: all memory pools together
  stats.allocated_bytes[0].peak = peak;
  stats.reserved_bytes[0].current = stats.reserved_bytes[0].peak = reserved;
  return stats;
}

std::pair<size_t, size_t> Memory::getMemoryInfo(c10::DeviceIndex) {
  const int64_t total = recommended, free = total - allocated;
  return {static_cast<size_t>(free > 0 ? free : 0), static_cast<size_t>(total)};
}

// ---------------------------------------------------------------- dtypes

namespace {

// As PyTorch 2.15's header for the real device guard lists them.
uint64_t supported_dtype_bits() {
  uint64_t bits = 0;
  for (auto type : {c10::kByte, c10::kChar, c10::kShort, c10::kInt, c10::kLong, c10::kHalf, c10::kFloat,
                    c10::kComplexHalf, c10::kComplexFloat, c10::kBool, c10::kBFloat16, c10::kFloat8_e4m3fn,
                    c10::kUInt16, c10::kUInt32, c10::kUInt64})
    bits |= uint64_t{1} << static_cast<int>(type);
  return bits;
}

} // namespace

void check_dtype(c10::ScalarType type) {
  static const uint64_t supported = supported_dtype_bits();
  TORCH_CHECK_TYPE(type != c10::kDouble, "Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't "
                                         "support float64. Please use float32 instead.");
  TORCH_CHECK_TYPE(supported >> static_cast<int>(type) & 1, "Trying to convert ", type,
                   " to the MPS backend but it does not have support for that dtype.");
}

// ---------------------------------------------------------------- random numbers

namespace {

// Draws from a CPU generator, but from another stream than a CPU generator with the same seed: real devices never agree
// on one, and code that relies on it should fail here too. A state begins with the seed, so that its size differs from
// that of a CPU generator's state and neither accepts the other's.
struct Generator final : c10::GeneratorImpl {
  uint64_t own_seed;
  at::Generator cpu;

  explicit Generator(uint64_t seed)
      : c10::GeneratorImpl(kDevice, c10::DispatchKeySet(c10::DispatchKey::MPS)),
        own_seed(seed), cpu(at::detail::createCPUGenerator(scramble(seed))) {}
  static uint64_t scramble(uint64_t seed) { return (seed ^ 0x51a7e11d) * 0x9e3779b97f4a7c15; }

  uint64_t current_seed() const override { return own_seed; }
  void set_current_seed(uint64_t seed) override {
    own_seed = seed;
    cpu.set_current_seed(scramble(seed));
  }
  uint64_t seed() override {
    set_current_seed(c10::detail::getNonDeterministicRandom());
    return own_seed;
  }
  void set_offset(uint64_t) override { TORCH_CHECK(false, "mps_sim does not simulate generator offsets"); }
  uint64_t get_offset() const override { TORCH_CHECK(false, "mps_sim does not simulate generator offsets"); }
  c10::intrusive_ptr<c10::TensorImpl> get_state() const override {
    const at::Tensor inner = cpu.get_state();
    const int64_t size[] = {8 + inner.numel()};
    const at::Tensor state = at::detail::empty_cpu(size, at::TensorOptions(at::kByte));
    auto* bytes = static_cast<char*>(state.mutable_data_ptr());
    std::memcpy(bytes, &own_seed, 8);
    std::memcpy(bytes + 8, inner.const_data_ptr(), inner.numel());
    return state.getIntrusivePtr();
  }
  void set_state(const c10::TensorImpl& state) override {
    at::detail::check_rng_state(state);
    const at::Tensor inner = cpu.get_state();
    TORCH_CHECK(state.numel() == 8 + inner.numel(), "RNG state is wrong size");
    const auto* bytes = static_cast<const char*>(state.data());
    std::memcpy(&own_seed, bytes, 8);
    std::memcpy(inner.mutable_data_ptr(), bytes + 8, inner.numel());
    cpu.set_state(inner);
  }
  Generator* clone_impl() const override {
    auto* copy = new Generator(own_seed);
    copy->cpu = cpu.clone();
    return copy;
  }
};

at::Generator& default_generator() {
  static auto* instance = new at::Generator(at::make_generator<Generator>(c10::default_rng_seed_val));
  return *instance;
}

} // namespace

at::Generator cpu_generator_behind(const at::Generator& mps) {
  const auto& chosen = mps.defined() ? mps : default_generator();
  TORCH_CHECK(chosen.device().is_mps(), "Expected a 'mps' device type for generator but found '",
              chosen.device().type(), "'");
  return static_cast<Generator*>(chosen.unsafeGetGeneratorImpl())->cpu;
}

// ---------------------------------------------------------------- streams and events

namespace {

using Clock = std::chrono::steady_clock;
double milliseconds(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double, std::milli>(to - from).count();
}

struct Guard final : c10::impl::DeviceGuardImplInterface {
  static c10::StreamId& current() {
    thread_local c10::StreamId id = 0;
    return id;
  }
  static c10::Stream stream(c10::StreamId id) { return c10::Stream(c10::Stream::UNSAFE, kDevice, id); }
  static Clock::time_point& time_of(void* event) { return *static_cast<Clock::time_point*>(event); }

  c10::DeviceType type() const override { return c10::kMPS; }
  c10::DeviceIndex deviceCount() const noexcept override { return 1; }
  c10::Device getDevice() const override { return kDevice; }
  c10::Device exchangeDevice(c10::Device) const override { return kDevice; }
  void setDevice(c10::Device) const override {}
  void uncheckedSetDevice(c10::Device) const noexcept override {}
  c10::DeviceCapability getDeviceCapability(c10::Device) const override {
    c10::DeviceCapability capability;
    capability.capability_data.capability_bits = supported_dtype_bits();
    return capability;
  }
  c10::Stream getStream(c10::Device) const override { return stream(current()); }
  c10::Stream getDefaultStream(c10::Device) const override { return stream(0); }
  c10::Stream getNewStream(c10::Device, int) const override {
    static std::atomic<c10::StreamId> last{0};
    return stream(++last);
  }
  c10::Stream exchangeStream(c10::Stream s) const override { return stream(std::exchange(current(), s.id())); }
  bool queryStream(const c10::Stream&) const override { return true; }
  void synchronizeStream(const c10::Stream&) const override { ++sync_points; }
  void synchronizeDevice(const c10::DeviceIndex) const override { ++sync_points; }
  void record(void** event, const c10::Stream&, const c10::DeviceIndex, const c10::EventFlag) const override {
    if (!*event) *event = new Clock::time_point;
    time_of(*event) = Clock::now();
  }
  void block(void*, const c10::Stream&) const override {}
  bool queryEvent(void*) const override { return true; }
  void synchronizeEvent(void*) const override { ++sync_points; }
  double elapsedTime(void* start, void* end, const c10::DeviceIndex) const override {
    return milliseconds(time_of(start), time_of(end));
  }
  void destroyEvent(void* event, const c10::DeviceIndex) const noexcept override { delete &time_of(event); }
};
C10_REGISTER_GUARD_IMPL(MPS, Guard);

// torch.mps.Event: Python holds a number, here is the time of its last record().
std::mutex event_mutex;
std::unordered_map<uint32_t, Clock::time_point> event_times;

// ---------------------------------------------------------------- hooks

struct Hooks final : at::MPSHooksInterface {
  void init() const override {}
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasMPS() const override { return true; }
  bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
  bool isOnMacOSorNewer(unsigned, unsigned) const override { return true; }
  c10::DeviceIndex deviceCount() const override { return 1; }
  c10::DeviceIndex getCurrentDevice() const override { return 0; }
  c10::Device getDeviceFromPtr(void*) const override { return kDevice; }
  const at::Generator& getDefaultGenerator(c10::DeviceIndex) const override { return default_generator(); }
  at::Generator getNewGenerator(c10::DeviceIndex) const override {
    return at::make_generator<Generator>(c10::default_rng_seed_val);
  }
  at::Allocator* getMPSDeviceAllocator() const override { return &memory(); }
  at::Allocator* getPinnedMemoryAllocator() const override { return c10::GetCPUAllocator(); }
  void deviceSynchronize() const override { ++sync_points; }
  void commitStream() const override {}
  void emptyCache() const override { memory().emptyCache(); }
  size_t getCurrentAllocatedMemory() const override { return memory().allocated; }
  size_t getDriverAllocatedMemory() const override { return memory().reserved; }
  size_t getRecommendedMaxMemory() const override { return memory().recommended; }
  size_t getMaxBufferLength() const override {
    return memory().max_buffer ? memory().max_buffer : memory().recommended;
  }
  void setMemoryFraction(double ratio) const override {
    memory().limit = static_cast<int64_t>(ratio * static_cast<double>(memory().recommended));
  }
  void profilerStartTrace(const std::string&, bool) const override {}
  void profilerStopTrace() const override {}
  uint32_t acquireEvent(bool) const override {
    static std::atomic<uint32_t> last{0};
    recordEvent(++last);
    return last;
  }
  void recordEvent(uint32_t id) const override {
    std::lock_guard<std::mutex> lock(event_mutex);
    event_times[id] = Clock::now();
  }
  void releaseEvent(uint32_t id) const override {
    std::lock_guard<std::mutex> lock(event_mutex);
    event_times.erase(id);
  }
  void waitForEvent(uint32_t) const override {}
  void synchronizeEvent(uint32_t) const override { ++sync_points; }
  bool queryEvent(uint32_t) const override { return true; }
  double elapsedTimeOfEvents(uint32_t start, uint32_t end) const override {
    std::lock_guard<std::mutex> lock(event_mutex);
    return milliseconds(event_times.at(start), event_times.at(end));
  }
};

// PyTorch caches one hooks object per backend at its first use, which may lie before our start. The classes hold no
// data, so building another implementation in the same place changes the behaviour for everyone who holds the object.
template <class Implementation, class Interface>
void replace(const Interface& cached) {
  static_assert(sizeof(Implementation) == sizeof(void*), "only a pointer to virtual functions");
  new (const_cast<Interface*>(&cached)) Implementation();
}

} // namespace

extern "C" void mps_sim_start() {
  // A build with CUDA would call CUDA the accelerator and refuse a second one; the build for macOS has no CUDA.
  replace<at::CUDAHooksInterface>(at::detail::getCUDAHooks());
  replace<Hooks>(at::detail::getMPSHooks());
  c10::SetAllocator(c10::kMPS, &memory());
}

} // namespace mps_sim
