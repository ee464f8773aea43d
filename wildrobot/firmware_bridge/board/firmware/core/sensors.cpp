#include "sensors.hpp"

#include <cmath>
#include <cstring>

namespace wildrobot {
namespace {

void put_u16(std::uint8_t* out, std::uint32_t value) {
  out[0] = static_cast<std::uint8_t>(value & 0xFF);
  out[1] = static_cast<std::uint8_t>((value >> 8) & 0xFF);
}

// Rounds to the nearest count and saturates.
std::int32_t counts(float value, float per_unit, std::int32_t low, std::int32_t high) {
  const float scaled = value * per_unit;
  if (scaled <= static_cast<float>(low)) return low;
  if (scaled >= static_cast<float>(high)) return high;
  return static_cast<std::int32_t>(std::lround(scaled));
}

void put_i16(std::uint8_t* out, const float* values, std::size_t count, float per_unit) {
  for (std::size_t i = 0; i < count; ++i) {
    put_u16(out + 2 * i, static_cast<std::uint32_t>(counts(values[i], per_unit, -32768, 32767)));
  }
}

bool finite(const float* values, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    if (!std::isfinite(values[i])) return false;
  }
  return true;
}

bool plausible(float force_n) { return std::isfinite(force_n) && force_n >= kFootMinN && force_n <= kFootMaxN; }

}  // namespace

void Feet::reset() {
  samples_ = 0;
  newest_ = 0;
}

void Feet::sample(const float force_n[table::kFootForceCount], std::uint32_t now_us) {
  if (samples_ > 0) {
    const std::int32_t late = static_cast<std::int32_t>(now_us - due_us_);
    if (late < 0) return;
    // Keep the 1 kHz grid, so that a caller with jitter is not slowed down; after a pause begin a new one.
    due_us_ = late < static_cast<std::int32_t>(kFootPeriodUs) ? due_us_ + kFootPeriodUs : now_us + kFootPeriodUs;
  } else {
    due_us_ = now_us + kFootPeriodUs;
  }
  newest_ = (newest_ + 1) % 3;
  for (std::size_t foot = 0; foot < table::kFootForceCount; ++foot) {
    history_[foot][newest_] = force_n[foot];
    if (samples_ == 0) history_[foot][(newest_ + 1) % 3] = history_[foot][(newest_ + 2) % 3] = force_n[foot];
  }
  if (samples_ < 3) ++samples_;
}

bool Feet::median(std::size_t foot, float* value) const {
  float good[3];
  std::size_t count = 0;
  for (float force : history_[foot]) {
    if (plausible(force)) good[count++] = force;
  }
  if (count < 2) return false;
  if (count == 2) {
    // The newer of the two: with one missing there is no middle.
    const float newest = history_[foot][newest_];
    *value = plausible(newest) ? newest : history_[foot][(newest_ + 2) % 3];
    return true;
  }
  const float low = good[0] < good[1] ? good[0] : good[1];
  const float high = good[0] < good[1] ? good[1] : good[0];
  *value = good[2] < low ? low : (good[2] > high ? high : good[2]);
  return true;
}

std::uint8_t Feet::counts(std::size_t foot) const {
  float value = 0.0f;
  if (samples_ == 0 || !median(foot, &value)) return 0;
  return static_cast<std::uint8_t>(wildrobot::counts(value, table::kFootForceCountsPerUnit, 0, 255));
}

bool Feet::out_of_range() const {
  float value = 0.0f;
  for (std::size_t foot = 0; samples_ > 0 && foot < table::kFootForceCount; ++foot) {
    if (!median(foot, &value)) return true;
  }
  return false;
}

void Sensors::reset(std::uint32_t now_us) {
  *this = Sensors();
  sampled_us_ = now_us;
}

void Sensors::set_imu(const float quaternion_wxyz[4], const float gyro_rad_s[3], const float acceleration_m_s2[3],
                      bool calibrated, std::uint32_t now_us) {
  if (!finite(quaternion_wxyz, 4) || !finite(gyro_rad_s, 3) || !finite(acceleration_m_s2, 3)) return;
  std::uint8_t* out = imu_;
  put_i16(out, quaternion_wxyz, 4, table::kQuaternionCountsPerUnit);
  put_i16(out + table::kAngularVelocity - table::kQuaternion, gyro_rad_s, 3, table::kAngularVelocityCountsPerUnit);
  put_i16(out + table::kAcceleration - table::kQuaternion, acceleration_m_s2, 3, table::kAccelerationCountsPerUnit);
  ++counter_;
  sampled_us_ = now_us;
  any_ = true;
  silent_ = false;
  old_ = false;
  calibrated_ = calibrated;
}

void Sensors::set_supply(float volt) {
  if (std::isfinite(volt)) {
    supply_ = static_cast<std::uint8_t>(counts(volt, table::kSupplyVoltageCountsPerUnit, 0, 255));
  }
}

void Sensors::tick(std::uint32_t now_us) {
  const std::uint32_t age = now_us - sampled_us_;
  if (age > kImuSilentUs) silent_ = true;
  if (age > 0xFFFF) old_ = true;
}

void Sensors::latch(std::uint8_t* table, std::uint32_t now_us) {
  tick(now_us);
  std::memcpy(table + table::kQuaternion, imu_, sizeof(imu_));
  for (std::size_t foot = 0; foot < table::kFootForceCount; ++foot) {
    table[table::kFootForce + foot] = feet_.counts(foot);
  }
  put_u16(table + table::kSampleCounter, counter_);
  put_u16(table + table::kSampleAge, !any_ || old_ ? 0xFFFF : now_us - sampled_us_);
  put_u16(table + table::kClock, now_us & 0xFFFF);
  put_u16(table + table::kClock + 2, now_us >> 16);
  unsigned status = 0;
  if (any_ && !silent_) status |= kImuAlive;
  if (any_ && !silent_ && calibrated_) status |= kImuCalibrated;
  if (silent_) status |= kImuSilent;
  if (feet_.out_of_range()) status |= kFootOutOfRange;
  table[table::kStatus] = static_cast<std::uint8_t>(status);
  table[table::kSupplyVoltage] = supply_;
}

}  // namespace wildrobot
