// A stand-in for Adafruit's BNO08x library: the calls and fields that the sketch uses.
#pragma once

#include <cstdint>
#include <deque>
#include <map>

using sh2_SensorId_t = std::uint8_t;
constexpr sh2_SensorId_t SH2_ACCELEROMETER = 0x01, SH2_GYROSCOPE_CALIBRATED = 0x02, SH2_GAME_ROTATION_VECTOR = 0x08;

struct sh2_SensorValue_t {
  std::uint8_t sensorId;
  std::uint8_t status;
  union {
    struct {
      float i, j, k, real;
    } gameRotationVector;
    struct {
      float x, y, z;
    } gyroscope, accelerometer;
  } un;
};

struct FakeImu {
  bool there = true;
  bool was_reset = false;
  int starts = 0;
  int asked_in_vain = 0;  // the real library would block for half a second
  std::map<sh2_SensorId_t, std::uint32_t> reports;
  std::deque<sh2_SensorValue_t> events;
};
static FakeImu fake_imu;

class Adafruit_BNO08x {
 public:
  explicit Adafruit_BNO08x(std::int8_t) {}
  bool begin_SPI(std::uint8_t, std::uint8_t) {
    ++fake_imu.starts;
    return fake_imu.there;
  }
  bool enableReport(sh2_SensorId_t id, std::uint32_t interval_us) {
    fake_imu.reports[id] = interval_us;
    return true;
  }
  bool wasReset() {
    const bool was = fake_imu.was_reset;
    fake_imu.was_reset = false;
    return was;
  }
  bool getSensorEvent(sh2_SensorValue_t* value) {
    if (fake_imu.events.empty()) {
      ++fake_imu.asked_in_vain;
      return false;
    }
    *value = fake_imu.events.front();
    fake_imu.events.pop_front();
    return true;
  }
};
