// The sketch on fakes of the Arduino headers: it compiles, and its wiring to the core is right. Says nothing about the
// target's timing or its libraries.
#include "wildrobot_sensor_board.ino"

#include <cmath>
#include <vector>

#include "check.hpp"

namespace {

using Bytes = std::vector<std::uint8_t>;

constexpr int kImuIntPin = 5;

void start() {
  hardware = FakeHardware();
  Serial1 = FakeSerial();
  hardware.digital[kImuIntPin] = HIGH;
  fake_imu = FakeImu();
  board = Board(nullptr, config(), 0);
  baud_rate = 0xFF;
  reply_size = 0;
  imu_started = false;
  imu_retry_us = 0;
  feet_us = supply_us = 0;
  foot = 0;
  new_quaternion = new_gyro = any_acceleration = false;
  for (int pin = A1; pin <= A4; ++pin) hardware.analog[pin] = 200;
  setup();
}

void run(std::uint32_t us) {
  for (const std::uint32_t end = hardware.now_us + us; hardware.now_us != end; hardware.now_us += 10) loop();
}

Bytes ask(std::uint8_t id, Bytes body, std::uint32_t wait_us = 200) {
  Bytes packet = {0xFF, 0xFF, 0xFD, 0x00, id, static_cast<std::uint8_t>(body.size() + 2), 0};
  packet.insert(packet.end(), body.begin(), body.end());
  const std::uint16_t crc = crc16(packet.data(), packet.size());
  packet.push_back(static_cast<std::uint8_t>(crc & 0xFF));
  packet.push_back(static_cast<std::uint8_t>(crc >> 8));
  Serial1.outgoing.clear();
  for (std::uint8_t byte : packet) {
    Serial1.incoming.push_back(byte);
    run(10);
  }
  run(wait_us);
  return Serial1.outgoing;
}

Bytes read(std::uint8_t address, std::uint8_t size) {
  const Bytes all = ask(200, {0x02, address, 0, size, 0});
  return all.size() < 11 ? Bytes() : Bytes(all.begin() + 9, all.end() - 2);
}

void imu_event(sh2_SensorId_t id, float a, float b, float c, float real = 0) {
  sh2_SensorValue_t value = {};
  value.sensorId = id;
  value.status = 3;
  if (id == SH2_GAME_ROTATION_VECTOR) {
    value.un.gameRotationVector.i = a;
    value.un.gameRotationVector.j = b;
    value.un.gameRotationVector.k = c;
    value.un.gameRotationVector.real = real;
  } else {
    value.un.gyroscope.x = a;
    value.un.gyroscope.y = b;
    value.un.gyroscope.z = c;
  }
  fake_imu.events.push_back(value);
}

}  // namespace

TEST(a_blank_board_answers_a_ping_at_1_mbps) {
  start();
  EQUAL(Serial1.baud, 1000000u);
  EQUAL(hardware.analog_bits, 12);
  EQUAL(ask(200, {0x01}).size(), 14u);
}

TEST(an_echo_of_its_own_bytes_is_not_heard) {
  start();
  Serial1.echo = true;
  EQUAL(ask(200, {0x01}).size(), 14u);
  EQUAL(board.parser().accepted(), 1u);
}

TEST(settings_are_saved_and_loaded) {
  start();
  const int writes = flash.writes;
  EQUAL(ask(200, {0x03, 7, 0, 42}, 5000).size(), 11u);
  EQUAL(flash.writes, writes + 1);
  load_settings();
  EQUAL(board.registers()[7], 42);
  flash.content.bytes[7] = 43;  // its CRC is wrong now
  load_settings();
  EQUAL(board.registers()[7], 200);
}

TEST(a_new_baud_rate_counts_after_the_answer_and_one_too_fast_is_refused) {
  start();
  EQUAL(ask(200, {0x03, 8, 0, 4})[8], 6);
  EQUAL(Serial1.baud, 1000000u);
  EQUAL(ask(200, {0x03, 8, 0, 1})[8], 0);
  EQUAL(Serial1.baud, 57600u);
}

TEST(a_reboot_answers_and_then_resets_the_chip) {
  start();
  EQUAL(ask(200, {0x08}).size(), 11u);
  TRUE(hardware.resets > 0);
}

TEST(an_answer_waits_for_its_time_and_is_taken_back_when_somebody_talks) {
  start();
  board.receive(nullptr, 0, 0);
  EQUAL(ask(0xFE, {0x01}, 1000).size(), 0u);
  run(600000);
  EQUAL(Serial1.outgoing.size(), 14u);
  ask(0xFE, {0x01}, 1000);
  Serial1.incoming.push_back(0);
  run(700000);
  EQUAL(Serial1.outgoing.size(), 0u);
}

TEST(a_sample_needs_a_new_orientation_and_a_new_rate) {
  start();
  hardware.digital[kImuIntPin] = LOW;
  imu_event(SH2_ACCELEROMETER, 0, 0, 9.81f);
  imu_event(SH2_GAME_ROTATION_VECTOR, 0, 0, 0, 1);
  run(3000);
  EQUAL(read(152, 2), Bytes({0, 0}));
  run(3000);
  imu_event(SH2_GYROSCOPE_CALIBRATED, 1, 0, 0);
  run(3000);
  EQUAL(read(152, 2), Bytes({1, 0}));
  EQUAL(read(128, 16), Bytes({0, 0x40, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0}));
  EQUAL(read(146, 2), Bytes({0xCF, 9}));
  EQUAL(read(160, 1)[0] & 7, 3);
  EQUAL(fake_imu.reports[SH2_GAME_ROTATION_VECTOR], 2500u);
}

TEST(an_imu_without_anything_to_say_is_not_asked) {
  start();
  run(20000);
  EQUAL(fake_imu.asked_in_vain, 0);
}

TEST(an_imu_that_is_not_there_is_an_alert_and_is_looked_for_once_a_second) {
  start();
  fake_imu.there = false;
  imu_started = false;
  imu_retry_us = hardware.now_us;
  const int before = fake_imu.starts;
  run(2500000);
  EQUAL(fake_imu.starts, before + 3);
  EQUAL(read(70, 1), Bytes({8}));
  fake_imu.there = true;
  run(1000000);
  EQUAL(read(70, 1), Bytes({0}));
  fake_imu.was_reset = true;  // its reports are asked for again
  fake_imu.reports.clear();
  run(5000);
  EQUAL(fake_imu.reports.size(), 3u);
}

TEST(feet_and_supply_are_scaled_and_a_broken_wire_is_reported) {
  start();
  hardware.analog[A2] = 700;  // 500 counts above its offset
  hardware.analog[A5] = 3040;
  run(10000);
  EQUAL(read(148, 4), Bytes({0, 40, 0, 0}));
  EQUAL(read(161, 1), Bytes({120}));
  EQUAL(read(160, 1)[0] & 8, 0);
  hardware.analog[A4] = 3;
  run(10000);
  EQUAL(read(160, 1)[0] & 8, 8);
}

int main() { return check::run(); }
