#include "registers.hpp"

#include <cstring>

namespace wildrobot {

bool Registers::allowed(const table::Register& reg, std::uint8_t value) const {
  return value >= reg.min && value <= reg.max && !(reg.address == table::kBaudRate && value > max_baud_rate_);
}

void Registers::boot(const std::uint8_t* eeprom, std::uint8_t max_baud_rate) {
  max_baud_rate_ = max_baud_rate;
  std::uint8_t kept[kEepromSize] = {};
  if (eeprom != nullptr) std::memcpy(kept, eeprom, kEepromSize);
  std::memset(bytes_, 0, sizeof(bytes_));
  for (const table::Register& reg : table::kRegisters) {
    for (std::size_t i = 0; i < reg.size && i < 4; ++i) {
      bytes_[reg.address + i] = static_cast<std::uint8_t>((reg.initial >> (8 * i)) & 0xFF);
    }
    if (reg.eeprom && eeprom != nullptr && allowed(reg, kept[reg.address])) bytes_[reg.address] = kept[reg.address];
  }
}

Error Registers::check_read(std::size_t address, std::size_t size) const {
  if (size == 0) return Error::kDataLength;
  // Bytes between registers read as 0, as a servo's do: one read may span several registers.
  if (address >= table::kSize || size > table::kSize - address) return Error::kAccess;
  return Error::kNone;
}

Error Registers::check_write(std::size_t address, const std::uint8_t* data, std::size_t size) const {
  if (size == 0) return Error::kDataLength;
  if (address >= table::kSize || size > table::kSize - address) return Error::kAccess;
  std::size_t at = address;
  while (at < address + size) {
    const table::Register* found = nullptr;
    for (const table::Register& reg : table::kRegisters) {
      if (reg.address == at) found = &reg;
    }
    if (found == nullptr || !found->writable) return Error::kAccess;
    const std::uint8_t value = data[at - address];
    if (value < found->min || value > found->max) return Error::kDataRange;
    if (!allowed(*found, value)) return Error::kDataLimit;
    at += found->size;
  }
  return Error::kNone;
}

bool Registers::write(std::size_t address, const std::uint8_t* data, std::size_t size) {
  bool changed = false;
  for (std::size_t i = 0; i < size; ++i) {
    changed = changed || (address + i < kEepromSize && bytes_[address + i] != data[i]);
    bytes_[address + i] = data[i];
  }
  return changed;
}

void Registers::factory_reset(bool keep_id, bool keep_baud_rate) {
  std::uint8_t kept[kEepromSize];
  std::memset(kept, 0xFF, sizeof(kept));  // no register allows it
  if (keep_id) kept[table::kId] = bytes_[table::kId];
  if (keep_baud_rate) kept[table::kBaudRate] = bytes_[table::kBaudRate];
  boot(kept, max_baud_rate_);
}

}  // namespace wildrobot
