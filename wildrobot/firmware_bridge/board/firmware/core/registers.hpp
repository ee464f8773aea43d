// The control table's bytes: who may read and write what.
#pragma once

#include <cstddef>
#include <cstdint>

#include "control_table.hpp"
#include "packet.hpp"

namespace wildrobot {

// Settings that outlive the power: the table's bytes below this address, of which only EEPROM registers count.
constexpr std::size_t kEepromSize = 64;

class Registers {
 public:
  // Everything as after power-on. `eeprom`: kEepromSize bytes, or null for a blank one. A value that its register does
  // not allow becomes the default: whatever the flash holds, the board can be reached.
  void boot(const std::uint8_t* eeprom, std::uint8_t max_baud_rate);

  // Checks without changing anything.
  Error check_read(std::size_t address, std::size_t size) const;
  Error check_write(std::size_t address, const std::uint8_t* data, std::size_t size) const;

  // Only after `check_write` found nothing. True when a setting changed that has to be saved.
  bool write(std::size_t address, const std::uint8_t* data, std::size_t size);

  // EEPROM registers to their defaults, but those that are to be kept; then as after power-on.
  void factory_reset(bool keep_id, bool keep_baud_rate);

  std::uint8_t* bytes() { return bytes_; }
  const std::uint8_t* bytes() const { return bytes_; }

 private:
  bool allowed(const table::Register& reg, std::uint8_t value) const;

  std::uint8_t bytes_[table::kSize] = {};
  std::uint8_t max_baud_rate_ = 0;
};

}  // namespace wildrobot
