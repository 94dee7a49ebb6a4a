// Shared by device.cpp (memory, random numbers, streams) and dispatch.cpp (running operators).
#pragma once
#include <ATen/core/Generator.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/Storage.h>
#include <atomic>
#include <cstdint>

namespace mps_sim {

inline const c10::Device kDevice(c10::DeviceType::MPS, 0);

// Host memory that poses as GPU memory and is counted against limits (0 means "no limit").
class Memory final : public c10::DeviceAllocator {
 public:
  using Stats = c10::CachingDeviceAllocator::DeviceStats;
  std::atomic<int64_t> limit{0}, max_buffer{0}, recommended{0};
  std::atomic<int64_t> allocated{0}, peak{0};
  std::atomic<int64_t> reserved{0}; // peak since emptyCache(): until then the real allocator keeps freed buffers

  c10::DataPtr allocate(size_t bytes) override;
  // Turns memory that a CPU kernel allocated into counted MPS memory, without a copy.
  c10::DataPtr adopt(c10::Storage host);

  void copy_data(void* to, const void* from, size_t bytes) const override;
  bool initialized() override { return true; }
  void emptyCache(c10::MempoolId_t = {0, 0}) override { reserved = allocated.load(); }
  void recordStream(const c10::DataPtr&, c10::Stream) override {}
  Stats getDeviceStats(c10::DeviceIndex) override;
  void resetAccumulatedStats(c10::DeviceIndex) override {}
  void resetPeakStats(c10::DeviceIndex) override { peak = allocated.load(); }
  std::pair<size_t, size_t> getMemoryInfo(c10::DeviceIndex) override; // (free, total)
};
Memory& memory();

extern std::atomic<int64_t> sync_points; // how often the real backend would have made the host wait for the GPU
extern std::atomic<int64_t> uploads;     // how many of them were copies to the device

// The CPU generator that draws for an MPS generator (for the default one if `mps` is undefined).
at::Generator cpu_generator_behind(const at::Generator& mps);

// Throws the TypeError of the real backend if Metal lacks the dtype.
void check_dtype(c10::ScalarType type);

} // namespace mps_sim
