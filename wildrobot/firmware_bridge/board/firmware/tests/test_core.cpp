#include <cmath>
#include <cstring>
#include <limits>

#include "../core/crc.hpp"
#include "check.hpp"
#include "wire.hpp"

using wildrobot::Board;
using wildrobot::Config;
using wildrobot::Error;
using wildrobot::Instruction;
using wire::Bytes;
using wire::instruction;
using wire::status;

namespace {

constexpr std::uint8_t kId = 200;

struct Bus {
  explicit Bus(const std::uint8_t* eeprom = nullptr, Config config = {}) : board(eeprom, config, 0) {}

  Bytes send(const Bytes& bytes) {
    now += 10 * static_cast<std::uint32_t>(bytes.size());
    board.receive(bytes.data(), bytes.size(), now);
    return poll();
  }

  Bytes poll() {
    Bytes out(512);
    out.resize(board.poll(now, out.data(), out.size(), &start));
    return out;
  }

  std::uint32_t now = 0;
  std::uint32_t start = 0;
  Board board;
};

Bytes error_reply(Error error) { return status(kId, static_cast<std::uint8_t>(error)); }

Bytes read(std::uint16_t address, std::uint16_t size) {
  return instruction(kId, Instruction::kRead,
                     {static_cast<std::uint8_t>(address & 0xFF), static_cast<std::uint8_t>(address >> 8),
                      static_cast<std::uint8_t>(size & 0xFF), static_cast<std::uint8_t>(size >> 8)});
}

const Bytes kPing = instruction(kId, Instruction::kPing);
const Bytes kPong = status(kId, 0, {0x52, 0x57, 1});

const float kUpright[4] = {1, 0, 0, 0};
const float kStill[3] = {0, 0, 0};
const float kGravity[3] = {0, 0, 9.81f};

}  // namespace

TEST(a_crc_agrees_with_the_bitwise_definition_and_goes_on_from_a_part) {
  const Bytes data = {0xFF, 0xFF, 0xFD, 0x00, 0x01, 0x03, 0x00, 0x01};
  EQUAL(wildrobot::crc16(data.data(), data.size()), 0x4E19);
  EQUAL(wire::crc(data.data(), data.size()), 0x4E19);
  EQUAL(wildrobot::crc16(data.data() + 3, 5, wildrobot::crc16(data.data(), 3)), 0x4E19);
}

TEST(a_ping_is_answered_with_model_and_firmware) {
  Bus bus;
  EQUAL(bus.send(kPing), kPong);
  EQUAL(bus.poll().size(), 0u);
}

TEST(a_packet_is_found_byte_by_byte_between_noise) {
  Bus bus;
  Bytes noise = {0xFF, 0xFF, 0x00, 0xFF, 0xFF, 0xFF, 0xFD, 0xFF, 0xFF, 0xFD, 0x00, 1, 2, 0};
  noise.insert(noise.end(), kPing.begin(), kPing.end());
  for (std::size_t i = 0; i + 1 < noise.size(); ++i) EQUAL(bus.send({noise[i]}).size(), 0u);
  EQUAL(bus.send({noise.back()}), kPong);
}

TEST(a_true_packet_behind_a_false_header_is_found_when_the_false_one_is_complete) {
  Bus bus;
  Bytes bytes = {0xFF, 0xFF, 0xFD, 0x00, 1, 12, 0};
  bytes.insert(bytes.end(), kPing.begin(), kPing.end());
  bytes.insert(bytes.end(), {0, 0, 0});
  EQUAL(bus.send(bytes), kPong);
  EQUAL(bus.board.parser().crc_errors(), 1u);
}

TEST(any_flipped_bit_makes_the_board_silent) {
  for (std::size_t bit = 0; bit < 8 * kPing.size(); ++bit) {
    Bus bus;
    Bytes bytes = kPing;
    bytes[bit / 8] = static_cast<std::uint8_t>(bytes[bit / 8] ^ (1u << (bit % 8)));
    EQUAL(bus.send(bytes).size(), 0u);
  }
}

TEST(lengths_that_no_packet_has_are_skipped_at_once) {
  for (std::uint16_t length : {0, 1, 2, 1025, 0xFFFF}) {
    Bus bus;
    Bytes bytes = {0xFF, 0xFF, 0xFD, 0x00, kId, static_cast<std::uint8_t>(length & 0xFF),
                   static_cast<std::uint8_t>(length >> 8)};
    bytes.insert(bytes.end(), kPing.begin(), kPing.end());
    EQUAL(bus.send(bytes), kPong);
  }
}

TEST(the_longest_packet_is_taken_whole) {
  Bus bus;
  Bytes parameters(1021, 7);
  Bytes bytes = instruction(kId, Instruction::kWrite, parameters);
  EQUAL(bytes.size(), 1031u);
  EQUAL(bus.send(bytes), error_reply(Error::kAccess));
}

TEST(a_packet_that_breaks_off_does_not_swallow_the_next_one) {
  Bus bus;
  bus.send(Bytes(kPing.begin(), kPing.end() - 1));
  bus.now += wildrobot::kSilenceUs + 1;
  EQUAL(bus.send(kPing), kPong);
}

TEST(stuffed_parameters_are_unstuffed_and_replies_are_stuffed) {
  Bytes data = {0xFF, 0xFF, 0xFD, 0xFD, 0xFF, 0xFF, 0xFD, 0x00};
  Bytes stuffed = {0xFF, 0xFF, 0xFD, 0xFD, 0xFD, 0xFF, 0xFF, 0xFD, 0xFD, 0x00};
  stuffed.resize(wildrobot::unstuff(stuffed.data(), stuffed.size()));
  EQUAL(stuffed, data);
  std::uint8_t out[64];
  wildrobot::StatusWriter writer(out, sizeof(out));
  writer.begin(kId, 0);
  writer.add(data.data(), data.size());
  const std::size_t size = writer.finish();
  EQUAL(Bytes(out, out + size), status(kId, 0, data));
}

TEST(a_status_that_does_not_fit_is_not_sent) {
  std::uint8_t out[12];
  const std::uint8_t data[2] = {1, 2};
  wildrobot::StatusWriter writer(out, sizeof(out));
  writer.begin(kId, 0);
  writer.add(data, 1);
  EQUAL(writer.finish(), 12u);
  writer.begin(kId, 0);
  writer.add(data, 2);
  EQUAL(writer.finish(), 0u);
  wildrobot::StatusWriter tiny(out, 5);
  tiny.begin(kId, 0);
  EQUAL(tiny.finish(), 0u);
  Bus bus;
  bus.board.receive(kPing.data(), kPing.size(), 100);
  std::uint32_t start = 0;
  EQUAL(bus.board.poll(100, out, 3, &start), 0u);
}

TEST(reads_give_what_the_table_holds) {
  Bus bus;
  EQUAL(bus.send(read(6, 4)), status(kId, 0, {1, 200, 3, 0}));
  EQUAL(bus.send(read(0, 0)), error_reply(Error::kDataLength));
  EQUAL(bus.send(read(162, 1)), error_reply(Error::kAccess));
  EQUAL(bus.send(read(128, 35)), error_reply(Error::kAccess));
  EQUAL(bus.send(read(0xFFFF, 0xFFFF)), error_reply(Error::kAccess));
  EQUAL(bus.send(instruction(kId, Instruction::kRead, {0, 0, 1})), error_reply(Error::kDataLength));
  EQUAL(bus.send(read(0, 162)).size(), 7u + 1 + 1 + 162 + 2);
}

TEST(writes_are_checked_as_a_whole_before_any_of_them_counts) {
  Bus bus;
  const Bytes before = bus.send(read(0, 128));
  EQUAL(bus.send(instruction(kId, Instruction::kWrite, {7, 0, 5, 9})), error_reply(Error::kDataRange));
  EQUAL(bus.send(instruction(kId, Instruction::kWrite, {6, 0, 5})), error_reply(Error::kAccess));
  EQUAL(bus.send(instruction(kId, Instruction::kWrite, {9, 0, 5, 5})), error_reply(Error::kAccess));
  EQUAL(bus.send(instruction(kId, Instruction::kWrite, {128, 0, 5})), error_reply(Error::kAccess));
  EQUAL(bus.send(instruction(kId, Instruction::kWrite, {200, 0, 5})), error_reply(Error::kAccess));
  EQUAL(bus.send(instruction(kId, Instruction::kWrite, {7, 0})), error_reply(Error::kDataLength));
  EQUAL(bus.send(instruction(kId, Instruction::kWrite, {9, 0, 255})), error_reply(Error::kDataRange));
  EQUAL(bus.send(read(0, 128)), before);
  TRUE(!bus.board.take_save());
}

TEST(a_setting_survives_a_reboot_and_asks_to_be_saved_once) {
  Bus bus;
  EQUAL(bus.send(instruction(kId, Instruction::kWrite, {9, 0, 10})), status(kId, 0));
  TRUE(bus.board.take_save());
  TRUE(!bus.board.take_save());
  bus.send(instruction(kId, Instruction::kWrite, {9, 0, 10}));
  TRUE(!bus.board.take_save());
  Bus other(bus.board.eeprom());
  EQUAL(other.send(read(9, 1)), status(kId, 0, {10}));
  EQUAL(other.start, other.now + 20);
}

TEST(flash_with_nonsense_becomes_the_defaults) {
  std::uint8_t eeprom[wildrobot::kEepromSize];
  std::memset(eeprom, 0xFF, sizeof(eeprom));
  Bus bus(eeprom);
  EQUAL(bus.send(kPing), kPong);
}

TEST(an_answer_to_a_changed_id_comes_from_the_old_one) {
  Bus bus;
  EQUAL(bus.send(instruction(kId, Instruction::kWrite, {7, 0, 42})), status(kId, 0));
  EQUAL(bus.send(kPing).size(), 0u);
  EQUAL(bus.send(instruction(42, Instruction::kPing)), status(42, 0, {0x52, 0x57, 1}));
}

TEST(a_baud_rate_that_the_port_cannot_do_is_a_limit_error) {
  Config config;
  config.max_baud_rate = 3;
  Bus bus(nullptr, config);
  EQUAL(bus.send(instruction(kId, Instruction::kWrite, {8, 0, 4})), error_reply(Error::kDataLimit));
  EQUAL(bus.send(instruction(kId, Instruction::kWrite, {8, 0, 7})), error_reply(Error::kDataRange));
  EQUAL(bus.send(instruction(kId, Instruction::kWrite, {8, 0, 1})), status(kId, 0));
}

TEST(a_registered_write_waits_for_its_action) {
  Bus bus;
  EQUAL(bus.send(instruction(kId, Instruction::kAction)), error_reply(Error::kInstruction));
  EQUAL(bus.send(instruction(kId, Instruction::kRegWrite, {9, 0, 255})), error_reply(Error::kDataRange));
  EQUAL(bus.send(instruction(kId, Instruction::kRegWrite, {9, 0})), error_reply(Error::kDataLength));
  EQUAL(bus.send(instruction(kId, Instruction::kRegWrite, {9, 0, 8})), status(kId, 0));
  EQUAL(bus.send(read(69, 1)), status(kId, 0, {1}));
  EQUAL(bus.send(read(9, 1)), status(kId, 0, {0}));
  EQUAL(bus.send(instruction(wildrobot::kBroadcastId, Instruction::kAction)).size(), 0u);
  EQUAL(bus.send(read(9, 1)), status(kId, 0, {8}));
  EQUAL(bus.send(read(69, 1)), status(kId, 0, {0}));
}

TEST(the_status_return_level_says_what_is_answered) {
  Bus bus;
  EQUAL(bus.send(instruction(kId, Instruction::kWrite, {68, 0, 1})), status(kId, 0));
  EQUAL(bus.send(instruction(kId, Instruction::kWrite, {9, 0, 0})).size(), 0u);
  EQUAL(bus.send(read(68, 1)), status(kId, 0, {1}));
  bus.send(instruction(kId, Instruction::kWrite, {68, 0, 0}));
  EQUAL(bus.send(read(68, 1)).size(), 0u);
  EQUAL(bus.send(instruction(0xFE, Instruction::kSyncRead, {0, 0, 1, 0, kId})).size(), 0u);
  EQUAL(bus.send(kPing), kPong);
  bus.send(instruction(kId, Instruction::kReboot));
  EQUAL(bus.board.reboots(), 1u);
}

TEST(unknown_instructions_are_an_error_for_one_and_ignored_for_all) {
  Bus bus;
  EQUAL(bus.send(wire::packet(kId, {0x10})), error_reply(Error::kInstruction));
  EQUAL(bus.send(wire::packet(kId, {0x82})), error_reply(Error::kInstruction));
  EQUAL(bus.send(wire::packet(0xFE, {0x10})).size(), 0u);
  EQUAL(bus.send(instruction(0xFE, Instruction::kRead, {0, 0, 1, 0})).size(), 0u);
  EQUAL(bus.send(instruction(1, Instruction::kPing)).size(), 0u);
}

TEST(a_broadcast_ping_is_answered_in_the_slot_of_the_id) {
  Bus bus;
  EQUAL(bus.send(instruction(0xFE, Instruction::kPing)), kPong);
  EQUAL(bus.start, bus.now + 200u * 3000u);
}

TEST(a_hardware_error_sets_the_alert_bit) {
  Bus bus;
  bus.board.set_hardware_error(8);
  EQUAL(bus.send(read(70, 1)), status(kId, 0x80, {8}));
  EQUAL(bus.send(read(0, 0)), status(kId, 0x85));
}

TEST(factory_resets_keep_what_they_say) {
  struct Case {
    std::uint8_t option, id, baud;
  };
  for (const Case& c : {Case{0xFF, 200, 3}, Case{0x01, 42, 3}, Case{0x02, 42, 1}}) {
    Bus bus;
    bus.send(instruction(kId, Instruction::kWrite, {7, 0, 42, 1, 9}));
    TRUE(bus.board.take_save());
    EQUAL(bus.send(instruction(42, Instruction::kFactoryReset, {c.option})), status(42, 0));
    TRUE(bus.board.take_save());
    EQUAL(bus.board.registers()[7], c.id);
    EQUAL(bus.board.registers()[8], c.baud);
    EQUAL(bus.board.registers()[9], 0);
  }
  Bus bus;
  bus.send(instruction(kId, Instruction::kWrite, {9, 0, 9}));
  bus.send(instruction(0xFE, Instruction::kFactoryReset, {0xFF}));
  EQUAL(bus.board.registers()[9], 9);
  EQUAL(bus.send(instruction(kId, Instruction::kFactoryReset, {3})), error_reply(Error::kDataRange));
  EQUAL(bus.send(instruction(kId, Instruction::kFactoryReset)), error_reply(Error::kDataLength));
}

TEST(a_reboot_answers_first_and_then_forgets_everything_but_settings) {
  Config config;
  config.boot_us = 1000;
  Bus bus(nullptr, config);
  bus.board.set_imu(kUpright, kStill, kGravity, true, 0);
  bus.send(instruction(kId, Instruction::kWrite, {68, 0, 1}));
  bus.send(instruction(kId, Instruction::kWrite, {68, 0, 2}));
  bus.board.receive(nullptr, 0, bus.now);
  EQUAL(bus.send(instruction(kId, Instruction::kReboot)), status(kId, 0));
  EQUAL(bus.board.reboots(), 1u);
  bus.board.set_imu(kUpright, kStill, kGravity, true, bus.now);
  bus.board.set_feet(kUpright, bus.now);
  EQUAL(bus.send(kPing).size(), 0u);
  bus.now += 2000;
  EQUAL(bus.send(kPing), kPong);
  EQUAL(bus.send(read(152, 4)), status(kId, 0, {0, 0, 0xFF, 0xFF}));
}

TEST(a_reboot_happens_even_if_its_answer_is_not_waited_for) {
  Bus bus;
  const Bytes reboot = instruction(kId, Instruction::kReboot);
  bus.board.receive(reboot.data(), reboot.size(), 100);
  EQUAL(bus.send(kPing).size(), 0u);
  EQUAL(bus.board.reboots(), 1u);
  EQUAL(bus.send(kPing), kPong);
}

TEST(the_sample_block_is_latched_when_a_read_begins) {
  Bus bus;
  const float quaternion[4] = {0.5f, -0.5f, 0.5f, -0.5f};
  const float gyro[3] = {1.0f, -2.0f, 100.0f};
  const float acceleration[3] = {-1.0f, 9.81f, -1000.0f};
  const float feet[4] = {0.0f, 10.0f, 63.75f, 100.0f};
  bus.now = 1000000;
  bus.board.set_imu(quaternion, gyro, acceleration, true, bus.now);
  bus.board.set_feet(feet, bus.now);
  bus.board.set_supply(11.94f);
  const Bytes expected = {0x00, 0x20, 0x00, 0xE0, 0x00, 0x20, 0x00, 0xE0,  // quaternion
                          0x00, 0x02, 0x00, 0xFC, 0xFF, 0x7F,              // gyro, saturated
                          0x00, 0xFF, 0xCF, 0x09, 0x00, 0x80,              // acceleration, saturated
                          0,    40,   255,  255,                           // feet
                          1,    0,    140,  0,                             // counter, age
                          0xCC, 0x42, 0x0F, 0,                             // clock 1000140
                          3,    119};
  EQUAL(bus.send(read(128, 34)), status(kId, 0, expected));
  EQUAL(bus.send(read(127, 1)), status(kId, 0, {0}));
  EQUAL(bus.send(read(161, 1)), status(kId, 0, {119}));
}

TEST(an_imu_that_says_nothing_is_reported_however_long_it_lasts) {
  Bus bus;
  EQUAL(bus.send(read(160, 1)), status(kId, 0, {0}));
  bus.board.set_imu(kUpright, kStill, kGravity, false, bus.now);
  EQUAL(bus.send(read(160, 1)), status(kId, 0, {wildrobot::kImuAlive}));
  bus.now += 50000;
  EQUAL(bus.send(read(160, 1)), status(kId, 0, {wildrobot::kImuSilent}));
  EQUAL(bus.send(read(154, 2)), status(kId, 0, {0xF4, 0xC4}));  // 50420
  // The clock wraps: the age must not become young again.
  for (int hour = 0; hour < 3; ++hour) {
    bus.now += 0x60000000u;
    bus.poll();
    EQUAL(bus.send(read(154, 2)), status(kId, 0, {0xFF, 0xFF}));
    EQUAL(bus.send(read(160, 1)), status(kId, 0, {wildrobot::kImuSilent}));
  }
  bus.board.set_imu(kUpright, kStill, kGravity, true, bus.now);
  EQUAL(bus.send(read(160, 1)), status(kId, 0, {wildrobot::kImuAlive | wildrobot::kImuCalibrated}));
}

TEST(a_sample_that_is_not_finite_is_no_sample) {
  Bus bus;
  const float bad[4] = {NAN, 0, 0, 0};
  const float infinite[3] = {0, std::numeric_limits<float>::infinity(), 0};
  bus.board.set_imu(bad, kStill, kGravity, true, 0);
  bus.board.set_imu(kUpright, infinite, kGravity, true, 0);
  bus.board.set_imu(kUpright, kStill, infinite, true, 0);
  bus.board.set_supply(NAN);
  EQUAL(bus.send(read(152, 2)), status(kId, 0, {0, 0}));
}

TEST(feet_are_the_median_of_three_samples_a_millisecond_apart) {
  Bus bus;
  auto feet = [&](float force) {
    const float all[4] = {force, force, force, force};
    bus.board.set_feet(all, bus.now);
  };
  auto heel = [&] { return bus.send(read(149, 1))[9]; };
  feet(0);
  bus.now += 1000;
  feet(20);  // one bounce
  EQUAL(heel(), 0);
  bus.now += 100;
  feet(20);  // too early: not a sample
  EQUAL(heel(), 0);
  bus.now += 1000;
  feet(20);
  EQUAL(heel(), 80);
  bus.now += 1000;
  feet(5);
  EQUAL(heel(), 80);
  bus.now += 1000;
  feet(10);
  EQUAL(heel(), 40);
}

TEST(a_median_is_the_middle_in_any_order) {
  const float values[3] = {4, 8, 12};
  const int orders[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
  for (const auto& order : orders) {
    wildrobot::Feet feet;
    for (int i = 0; i < 3; ++i) {
      const float v = values[order[i]];
      const float all[4] = {v, v, v, v};
      feet.sample(all, static_cast<std::uint32_t>(1000 * i));
    }
    EQUAL(feet.counts(0), 32);
  }
}

TEST(a_broken_foot_input_reads_zero_and_is_reported_but_one_bad_sample_is_not) {
  wildrobot::Feet feet;
  TRUE(!feet.out_of_range());
  EQUAL(feet.counts(0), 0);
  const float good[4] = {8, 8, 8, 8};
  const float bad[4] = {8, NAN, 8, 151};
  std::uint32_t now = 0;
  for (int i = 0; i < 3; ++i) feet.sample(good, now += 1000);
  feet.sample(bad, now += 1000);
  TRUE(!feet.out_of_range());
  EQUAL(feet.counts(1), 32);
  feet.sample(bad, now += 1000);
  TRUE(feet.out_of_range());
  EQUAL(feet.counts(1), 0);
  EQUAL(feet.counts(0), 32);
  feet.sample(good, now += 1000);
  TRUE(feet.out_of_range());
  feet.sample(good, now += 5000);
  TRUE(!feet.out_of_range());
  feet.reset();
  EQUAL(feet.counts(0), 0);
}

TEST(a_sync_write_and_a_bulk_write_reach_the_board_without_an_answer) {
  Bus bus;
  EQUAL(bus.send(instruction(0xFE, Instruction::kSyncWrite, {9, 0, 1, 0, 1, 50, kId, 7})).size(), 0u);
  EQUAL(bus.board.registers()[9], 7);
  bus.send(instruction(0xFE, Instruction::kBulkWrite, {1, 116, 0, 4, 0, 1, 2, 3, 4, kId, 9, 0, 1, 0, 8}));
  EQUAL(bus.board.registers()[9], 8);
  // Malformed: nothing of them counts.
  bus.send(instruction(0xFE, Instruction::kSyncWrite, {9, 0, 1, 0, kId, 1, 2}));
  bus.send(instruction(0xFE, Instruction::kSyncWrite, {9, 0, 0, 0, kId}));
  bus.send(instruction(0xFE, Instruction::kSyncWrite, {9, 0, 1, 0}));
  bus.send(instruction(0xFE, Instruction::kSyncWrite, {9, 0, 1, 0, 1, 2}));
  bus.send(instruction(0xFE, Instruction::kBulkWrite, {kId, 9, 0, 1, 0, 3, 1, 116, 0, 4, 0, 1}));
  bus.send(instruction(0xFE, Instruction::kBulkWrite, {kId, 9, 0, 1, 0, 3, 1, 116}));
  bus.send(instruction(0xFE, Instruction::kBulkWrite, {1, 9, 0, 1, 0, 3}));
  EQUAL(bus.board.registers()[9], 8);
}

TEST(in_a_bulk_read_the_board_answers_after_the_one_before_it) {
  Bus bus;
  const Bytes request = instruction(0xFE, Instruction::kBulkRead, {1, 132, 0, 4, 0, 2, 132, 0, 4, 0, kId, 6, 0, 2, 0});
  EQUAL(bus.send(request).size(), 0u);
  EQUAL(bus.send(status(1, 0, {1, 2, 3, 4})).size(), 0u);
  EQUAL(bus.send(status(2, 0, {1, 2, 3, 4})), status(kId, 0, {1, 200}));
  EQUAL(bus.send(status(2, 0, {1, 2, 3, 4})).size(), 0u);
  // First in the list: at once.
  EQUAL(bus.send(instruction(0xFE, Instruction::kBulkRead, {kId, 6, 0, 2, 0, 1, 132, 0, 4, 0})),
        status(kId, 0, {1, 200}));
  // The one before it keeps silent, and somebody speaks of other things.
  bus.send(request);
  bus.send(instruction(1, Instruction::kPing));
  EQUAL(bus.send(status(2, 0, {1, 2, 3, 4})).size(), 0u);
  bus.send(request);
  bus.now += 10000;
  EQUAL(bus.send(status(2, 0, {1, 2, 3, 4})).size(), 0u);
  // Malformed, or without the board.
  EQUAL(bus.send(instruction(0xFE, Instruction::kBulkRead, {kId, 6, 0, 2})).size(), 0u);
  EQUAL(bus.send(instruction(0xFE, Instruction::kBulkRead)).size(), 0u);
  EQUAL(bus.send(instruction(0xFE, Instruction::kSyncRead, {6, 0, 2, 0})).size(), 0u);
  EQUAL(bus.send(instruction(0xFE, Instruction::kSyncRead, {6, 0, 2, 0, 1, 2})).size(), 0u);
}

TEST(an_error_in_a_chain_is_answered_as_one) {
  Bus bus;
  bus.send(instruction(0xFE, Instruction::kSyncRead, {200, 0, 2, 0, 1, kId}));
  EQUAL(bus.send(status(1, 0, {1, 2})), error_reply(Error::kAccess));
  EQUAL(bus.send(instruction(0xFE, Instruction::kFastSyncRead, {200, 0, 2, 0, kId})),
        wire::fast_status({{7, kId, {0, 0}}}));
  EQUAL(bus.send(instruction(0xFE, Instruction::kFastSyncRead, {0, 0, 200, 0, kId})).size(), 0u);
  EQUAL(bus.send(instruction(0xFE, Instruction::kFastBulkRead, {kId, 6, 0, 2, 0, 1, 0, 0, 0xFF, 3})).size(), 0u);
}

TEST(in_a_fast_read_the_block_follows_the_bytes_before_it_wherever_it_stands) {
  for (std::size_t place = 0; place < 3; ++place) {
    std::vector<wire::Block> blocks = {{0, 1, {1, 2, 3, 4}}, {0x80, 2, {0xFF, 0xFF, 0xFD, 0x00}}};
    blocks.insert(blocks.begin() + static_cast<std::ptrdiff_t>(place), {0, kId, {1, 200}});
    Bytes parameters;
    for (const wire::Block& block : blocks) {
      const bool own = block.id == kId;
      const Bytes item = {block.id, static_cast<std::uint8_t>(own ? 6 : 132), 0,
                          static_cast<std::uint8_t>(own ? 2 : 4), 0};
      parameters.insert(parameters.end(), item.begin(), item.end());
    }
    const Bytes whole = wire::fast_status(blocks);
    const std::size_t begin = place == 0 ? 0 : 8 + 8 * place;
    const std::size_t end = begin + 6 + (place == 0 ? 8 : 0);
    for (const bool one_by_one : {false, true}) {
      Bus bus;
      Bytes out = bus.send(instruction(0xFE, Instruction::kFastBulkRead, parameters));
      if (place > 0) {
        EQUAL(out.size(), 0u);
        if (one_by_one) {
          for (std::size_t i = 0; i < begin; ++i) {
            EQUAL(out.size(), 0u);
            out = bus.send({whole[i]});
          }
        } else {
          out = bus.send(Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(begin)));
        }
      }
      EQUAL(out, Bytes(whole.begin() + static_cast<std::ptrdiff_t>(begin), whole.begin() + static_cast<std::ptrdiff_t>(end)));
      EQUAL(bus.send(Bytes(whole.begin() + static_cast<std::ptrdiff_t>(end), whole.end())).size(), 0u);
      EQUAL(bus.send(kPing), kPong);
    }
  }
}

TEST(a_broken_fast_answer_is_not_added_to_and_does_not_swallow_what_follows) {
  const Bytes request = instruction(0xFE, Instruction::kFastBulkRead, {1, 132, 0, 4, 0, kId, 6, 0, 2, 0, 2, 132, 0, 4, 0});
  const Bytes whole = wire::fast_status({{0, 1, {1, 2, 3, 4}}, {0, kId, {1, 200}}, {0, 2, {1, 2, 3, 4}}});
  for (std::size_t bit = 0; bit < 16 * 8; ++bit) {
    Bus bus;
    bus.send(request);
    Bytes damaged(whole.begin(), whole.begin() + 16);
    damaged[bit / 8] = static_cast<std::uint8_t>(damaged[bit / 8] ^ (1u << (bit % 8)));
    EQUAL(bus.send(damaged).size(), 0u);
    bus.now += 3000;
    EQUAL(bus.send(kPing), kPong);
  }
  for (std::size_t heard : {0, 3, 8, 16}) {  // the others fall silent there, and the host goes on at once
    Bus bus;
    bus.send(request);
    bus.send(Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(heard)));
    EQUAL(bus.send(kPing), kPong);
  }
  for (std::size_t heard = 0; heard < 16; ++heard) {  // or after a while
    Bus bus;
    bus.send(request);
    bus.send(Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(heard)));
    bus.now += 3000;
    EQUAL(bus.send(kPing), kPong);
  }
  Bus bus;  // somebody talks in the board's turn
  bus.send(request);
  bus.board.receive(whole.data(), 16, bus.now + 160);
  bus.now += 160;
  EQUAL(bus.send({0}).size(), 0u);
}

TEST(a_sync_read_of_too_many_devices_is_ignored) {
  Bytes parameters = {6, 0, 0, 0};
  parameters.insert(parameters.end(), 254, 1);
  parameters[4] = kId;
  Bus bus;
  EQUAL(bus.send(instruction(0xFE, Instruction::kFastSyncRead, parameters)).size(), 0u);
}

TEST(a_piece_as_long_as_its_wire_time_is_no_silence) {
  Bus bus;
  bus.send(instruction(kId, Instruction::kWrite, {8, 0, 1}));  // 57600: 174 µs a byte
  bus.send(instruction(0xFE, Instruction::kBulkRead, {1, 132, 0, 10, 0, kId, 6, 0, 2, 0}));
  const Bytes answer = status(1, 0, Bytes(10));
  bus.now += 174 * static_cast<std::uint32_t>(answer.size());
  EQUAL(bus.send(answer), status(kId, 0, {1, 200}));
}

TEST(the_bus_is_busy_until_it_has_been_quiet_for_a_while) {
  Bus bus;
  TRUE(!bus.board.busy(0));
  bus.board.receive(kPing.data(), 1, 100);
  TRUE(bus.board.busy(101));
  TRUE(!bus.board.busy(100 + wildrobot::kSilenceUs));
}

int main() { return check::run(); }
