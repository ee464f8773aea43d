// The sensor board as a Protocol 2.0 device: bytes and time in, bytes and their time out. It reads no clock, allocates
// nothing and knows no hardware; the Arduino layer and the host library wrap it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "chain.hpp"
#include "packet.hpp"
#include "registers.hpp"
#include "sensors.hpp"

namespace wildrobot {

// A packet that stops for so long will not go on, and a fast chain that does is broken.
constexpr std::uint32_t kSilenceUs = 2000;
// In a plain chain every device may wait its return delay first.
constexpr std::uint32_t kChainSilenceUs = 4000;
constexpr std::size_t kReplySize = 256;  // the whole table in a status packet, stuffed at its worst

struct Config {
  std::uint8_t max_baud_rate = 6;           // code of the fastest rate that the port can do
  std::uint32_t broadcast_slot_us = 3000;   // a broadcast ping is answered after this, times the id
  std::uint32_t boot_us = 0;                // deaf so long after a reboot; for a host that imitates the hardware
};

// All times are microseconds of one clock that may wrap.
class Board {
 public:
  // `eeprom`: kEepromSize bytes, or null for a blank one.
  Board(const std::uint8_t* eeprom, const Config& config, std::uint32_t now_us);

  // Bytes that others have put on the wire, the last of them complete at `now_us`. Never the board's own.
  void receive(const std::uint8_t* bytes, std::size_t size, std::uint32_t now_us);

  // What the board puts on the wire, from `*start_us` on (now or later). Returns its size, 0 for nothing; what does not
  // fit `capacity` is dropped. An instruction that comes before `*start_us` takes the answer back: the caller drops it.
  std::size_t poll(std::uint32_t now_us, std::uint8_t* out, std::size_t capacity, std::uint32_t* start_us);

  // See Sensors. SI units; the IMU's own frame.
  void set_imu(const float quaternion_wxyz[4], const float gyro_rad_s[3], const float acceleration_m_s2[3],
               bool calibrated, std::uint32_t now_us);
  void set_feet(const float force_n[table::kFootForceCount], std::uint32_t now_us);
  void set_supply(float volt) { sensors_.set_supply(volt); }
  void set_hardware_error(std::uint8_t bits) { registers_.bytes()[table::kHardwareErrorStatus] = bits; }

  // As after power-on; settings stay.
  void reboot(std::uint32_t now_us);

  // True once after every change of a setting: save `eeprom()`.
  bool take_save();
  // kEepromSize bytes.
  const std::uint8_t* eeprom() const { return registers_.bytes(); }
  const std::uint8_t* registers() const { return registers_.bytes(); }

  // The bus is in use, or was a moment ago: no time for long work.
  bool busy(std::uint32_t now_us) const { return reply_size_ > 0 || now_us - received_us_ < kSilenceUs; }
  std::uint32_t reboots() const { return reboots_; }
  const Parser& parser() const { return parser_; }

 private:
  bool booting(std::uint32_t now_us);
  void silence(std::size_t size, std::uint32_t now_us);
  void parse(std::uint8_t byte, std::uint32_t now_us);
  void handle(const Packet& packet, std::uint32_t now_us);
  void unicast(const Packet& packet, bool broadcast, std::uint32_t now_us);
  void read_list(const Packet& packet, bool bulk, bool fast, std::uint32_t now_us);
  void write_sync(const Packet& packet);
  void write_bulk(const Packet& packet);
  Error write(std::size_t address, const std::uint8_t* data, std::size_t size);
  Error factory_reset(const Packet& packet, bool broadcast);

  Error latch(std::size_t address, std::size_t size, std::uint32_t now_us);
  void reply(std::uint8_t level, Error error, const std::uint8_t* data, std::size_t size, std::uint32_t at_us);
  void reply_read(std::size_t address, std::size_t size, Error error, std::uint32_t at_us);
  void reply_fast(std::uint32_t at_us);
  std::uint8_t status_error(Error error) const;
  std::uint32_t delayed(std::uint32_t now_us) const { return now_us + 2u * registers_.bytes()[table::kReturnDelayTime]; }
  std::uint8_t id() const { return registers_.bytes()[table::kId]; }

  Config config_;
  Registers registers_;
  Sensors sensors_;
  Parser parser_;
  FastChain fast_;

  // A read in a chain: what is asked, and in a plain one whose status has to come first.
  ReadList::Item asked_ = {};
  Error asked_error_ = Error::kNone;
  bool waiting_ = false;
  std::uint8_t predecessor_ = 0;

  // A Reg Write that waits for its Action.
  std::uint8_t registered_[table::kSize] = {};
  std::size_t registered_size_ = 0;
  std::size_t registered_address_ = 0;

  std::uint8_t reply_[kReplySize] = {};
  std::size_t reply_size_ = 0;
  std::uint32_t reply_us_ = 0;
  bool reboot_after_reply_ = false;

  std::uint32_t received_us_ = 0;
  std::uint32_t booted_us_ = 0;
  bool booting_ = false;
  bool save_ = false;
  std::uint32_t reboots_ = 0;
};

}  // namespace wildrobot
