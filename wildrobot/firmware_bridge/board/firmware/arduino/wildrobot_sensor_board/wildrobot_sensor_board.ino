// WildRobot sensor board on an OpenRB-150 (SAMD21): the hardware around the core in src/core. Parts, wiring and flashing:
// docs/sensor_board.md. `make sketch` puts this file and the core into one folder for the Arduino tools.
#include <Adafruit_BNO08x.h>
#include <Arduino.h>
#include <FlashStorage.h>
#include <math.h>
#include <string.h>

#include "src/core/board.hpp"
#include "src/core/crc.hpp"

namespace {

using namespace wildrobot;

// Wiring.
constexpr uint8_t kImuCs = 4;
constexpr uint8_t kImuInt = 5;
constexpr int8_t kImuReset = 6;
constexpr uint8_t kFootPins[table::kFootForceCount] = {A1, A2, A3, A4};  // left toe, left heel, right toe, right heel
constexpr uint8_t kSupplyPin = A5;
// -1 where the hardware switches the direction of the half-duplex line itself, as the OpenRB-150 does.
constexpr int kDirectionPin = -1;

// Calibration (docs/sensor_board.md). Force = (counts - offset) * newton per count; 12-bit counts.
constexpr float kFootOffset[table::kFootForceCount] = {200.0f, 200.0f, 200.0f, 200.0f};
constexpr float kFootNewtonPerCount[table::kFootForceCount] = {0.02f, 0.02f, 0.02f, 0.02f};
// A sound sensor never reads so close to a rail: below is a broken wire, above a short.
constexpr int kAdcLow = 20;
constexpr int kAdcHigh = 4075;
constexpr float kSupplyVoltPerCount = 3.3f / 4095.0f * (39.0f + 10.0f) / 10.0f;

constexpr uint32_t kOrientationPeriodUs = 2500;   // 400 Hz
constexpr uint32_t kAccelerationPeriodUs = 5000;  // 200 Hz
constexpr uint32_t kSupplyPeriodUs = 100000;
constexpr uint32_t kImuRetryUs = 1000000;
constexpr uint8_t kImuFailed = 1 << 3;  // of hardware_error_status
// The manufacturer states 1 Mbps for the OpenRB-150's ports.
constexpr uint8_t kMaxBaudRate = 3;
constexpr uint32_t kBaud[] = {9600, 57600, 115200, 1000000, 2000000, 3000000, 4000000};

struct Settings {
  uint16_t magic;
  uint8_t bytes[kEepromSize];
  uint16_t crc;
};
constexpr uint16_t kMagic = 0x5752;

FlashStorage(flash, Settings);
Adafruit_BNO08x imu(kImuReset);

Config config() {
  Config c;
  c.max_baud_rate = kMaxBaudRate;
  return c;
}

Board board(nullptr, config(), 0);

uint8_t baud_rate = 0xFF;  // of the open port
uint8_t reply[kReplySize];
size_t reply_size = 0;
uint32_t reply_us = 0;

bool imu_started = false;
uint32_t imu_retry_us = 0;
float quaternion[4], gyro[3], acceleration[3];
bool new_quaternion = false, new_gyro = false, any_acceleration = false;
uint8_t accuracy = 0;

float force[table::kFootForceCount];
size_t foot = 0;
uint32_t feet_us = 0, supply_us = 0;

uint16_t settings_crc(const Settings& settings) { return crc16(settings.bytes, sizeof(settings.bytes)); }

void load_settings() {
  Settings settings;
  flash.read(&settings);
  const bool sound = settings.magic == kMagic && settings.crc == settings_crc(settings);
  board = Board(sound ? settings.bytes : nullptr, config(), micros());
}

void save_settings() {
  Settings settings;
  settings.magic = kMagic;
  memcpy(settings.bytes, board.eeprom(), kEepromSize);
  settings.crc = settings_crc(settings);
  flash.write(settings);
}

void open_port() {
  const uint8_t wanted = board.registers()[table::kBaudRate];
  if (wanted == baud_rate) return;
  if (baud_rate != 0xFF) Serial1.end();
  Serial1.begin(kBaud[wanted]);
  baud_rate = wanted;
}

// A 12-bit conversion in about 10 us instead of the core's default of several hundred: 48 MHz / 32, short sampling.
void speed_up_adc() {
#if defined(ARDUINO_ARCH_SAMD)
  while (ADC->STATUS.bit.SYNCBUSY) {
  }
  ADC->CTRLB.bit.PRESCALER = ADC_CTRLB_PRESCALER_DIV32_Val;
  while (ADC->STATUS.bit.SYNCBUSY) {
  }
  ADC->SAMPCTRL.reg = 15;
#endif
}

bool start_imu() {
  return imu.begin_SPI(kImuCs, kImuInt) && imu.enableReport(SH2_GAME_ROTATION_VECTOR, kOrientationPeriodUs) &&
         imu.enableReport(SH2_GYROSCOPE_CALIBRATED, kOrientationPeriodUs) &&
         imu.enableReport(SH2_ACCELEROMETER, kAccelerationPeriodUs);
}

void keep_imu_started() {
  if (imu_started && !imu.wasReset()) return;
  // Starting takes long and blocks; a chip that is not there is not asked all the time.
  const uint32_t now = micros();
  if (!imu_started && static_cast<int32_t>(now - imu_retry_us) < 0) return;
  imu_started = start_imu();
  imu.wasReset();
  imu_retry_us = micros() + kImuRetryUs;
  board.set_hardware_error(imu_started ? 0 : kImuFailed);
}

void service_imu() {
  keep_imu_started();
  // The library waits up to half a second for the interrupt line, and then resets the chip: ask only when it is low.
  if (!imu_started || digitalRead(kImuInt) != LOW) return;
  sh2_SensorValue_t value;
  if (!imu.getSensorEvent(&value)) return;
  switch (value.sensorId) {
    case SH2_GAME_ROTATION_VECTOR:
      quaternion[0] = value.un.gameRotationVector.real;
      quaternion[1] = value.un.gameRotationVector.i;
      quaternion[2] = value.un.gameRotationVector.j;
      quaternion[3] = value.un.gameRotationVector.k;
      accuracy = value.status & 3;
      new_quaternion = true;
      break;
    case SH2_GYROSCOPE_CALIBRATED:
      gyro[0] = value.un.gyroscope.x;
      gyro[1] = value.un.gyroscope.y;
      gyro[2] = value.un.gyroscope.z;
      new_gyro = true;
      break;
    case SH2_ACCELEROMETER:
      acceleration[0] = value.un.accelerometer.x;
      acceleration[1] = value.un.accelerometer.y;
      acceleration[2] = value.un.accelerometer.z;
      any_acceleration = true;
      break;
    default:
      break;
  }
  // One sample is one orientation and one rate that are both new: a chip of which half is stuck counts as silent.
  if (new_quaternion && new_gyro && any_acceleration) {
    new_quaternion = new_gyro = false;
    board.set_imu(quaternion, gyro, acceleration, accuracy >= 2, micros());
  }
}

// One conversion a call: the bus waits for none of them longer than for a byte or two.
void service_feet() {
  const uint32_t now = micros();
  if (foot == 0 && static_cast<int32_t>(now - feet_us) < 0) return;
  if (foot == 0) feet_us = now + kFootPeriodUs;
  const int counts = analogRead(kFootPins[foot]);
  const bool sound = counts >= kAdcLow && counts <= kAdcHigh;
  force[foot] = sound ? (static_cast<float>(counts) - kFootOffset[foot]) * kFootNewtonPerCount[foot] : NAN;
  if (++foot == table::kFootForceCount) {
    foot = 0;
    board.set_feet(force, now);
  }
}

void service_supply() {
  const uint32_t now = micros();
  if (static_cast<int32_t>(now - supply_us) < 0) return;
  supply_us = now + kSupplyPeriodUs;
  board.set_supply(static_cast<float>(analogRead(kSupplyPin)) * kSupplyVoltPerCount);
}

void service_bus() {
  while (Serial1.available() > 0) {
    const uint8_t byte = static_cast<uint8_t>(Serial1.read());
    reply_size = 0;  // somebody talks before the answer's time has come
    board.receive(&byte, 1, micros());
  }
  if (reply_size == 0) reply_size = board.poll(micros(), reply, sizeof(reply), &reply_us);
  if (reply_size == 0 || static_cast<int32_t>(micros() - reply_us) < 0) return;
  if (kDirectionPin >= 0) digitalWrite(static_cast<uint8_t>(kDirectionPin), HIGH);
  Serial1.write(reply, reply_size);
  Serial1.flush();
  if (kDirectionPin >= 0) digitalWrite(static_cast<uint8_t>(kDirectionPin), LOW);
  // The line may have given back what was sent; nobody else could have spoken meanwhile.
  while (Serial1.available() > 0) Serial1.read();
  reply_size = 0;
}

void follow_settings() {
  open_port();
  const bool reboots = board.reboots() > 0;
  if (board.take_save()) save_settings();
  if (reboots) NVIC_SystemReset();
}

}  // namespace

void setup() {
  if (kDirectionPin >= 0) pinMode(static_cast<uint8_t>(kDirectionPin), OUTPUT);
  analogReadResolution(12);
  speed_up_adc();
  load_settings();
  open_port();
  keep_imu_started();
}

void loop() {
  service_bus();
  if (reply_size == 0) follow_settings();  // an answer still leaves at the old rate
  service_feet();
  // What takes longer than a byte or two waits until nobody talks.
  if (board.busy(micros()) || reply_size > 0) return;
  service_imu();
  service_supply();
}
