// What the board measures: the newest IMU sample, the debounced feet, the supply; and how they look in the table.
#pragma once

#include <cstddef>
#include <cstdint>

#include "control_table.hpp"

namespace wildrobot {

constexpr std::uint32_t kImuSilentUs = 50000;
constexpr std::uint32_t kFootPeriodUs = 1000;
// Outside of these a foot input is broken wiring, not a force; between them and the register's range it saturates.
constexpr float kFootMinN = -5.0f;
constexpr float kFootMaxN = 150.0f;

enum StatusBit : std::uint8_t {
  kImuAlive = 1 << 0,
  kImuCalibrated = 1 << 1,
  kImuSilent = 1 << 2,
  kFootOutOfRange = 1 << 3,
};

// Median of the last three samples of every foot, taken at 1 kHz: one wild sample, or one bounce of a switch, is never
// seen. A sample that is not finite or out of range counts as missing; with two of three missing the foot reads 0 and
// is reported.
class Feet {
 public:
  void reset();
  void sample(const float force_n[table::kFootForceCount], std::uint32_t now_us);
  std::uint8_t counts(std::size_t foot) const;
  bool out_of_range() const;

 private:
  bool median(std::size_t foot, float* value) const;

  float history_[table::kFootForceCount][3] = {};
  std::size_t samples_ = 0;  // up to 3
  std::size_t newest_ = 0;
  std::uint32_t due_us_ = 0;
};

class Sensors {
 public:
  void reset(std::uint32_t now_us);

  // Newest fused sample. One that is not finite is no sample: the counter stays, so that it can be seen.
  void set_imu(const float quaternion_wxyz[4], const float gyro_rad_s[3], const float acceleration_m_s2[3],
               bool calibrated, std::uint32_t now_us);
  void set_feet(const float force_n[table::kFootForceCount], std::uint32_t now_us) { feet_.sample(force_n, now_us); }
  void set_supply(float volt);

  // Notices a silent IMU; to be called at least every half hour, or the clock's wrap makes it young again.
  void tick(std::uint32_t now_us);

  // Writes the whole sample block as of now.
  void latch(std::uint8_t* table, std::uint32_t now_us);

 private:
  Feet feet_;
  std::uint8_t imu_[table::kFootForce - table::kQuaternion] = {};
  std::uint16_t counter_ = 0;
  std::uint32_t sampled_us_ = 0;  // of the newest sample; of the start before the first
  bool any_ = false;
  bool silent_ = false;
  bool old_ = false;  // older than its register can say
  bool calibrated_ = false;
  std::uint8_t supply_ = 0;
};

}  // namespace wildrobot
