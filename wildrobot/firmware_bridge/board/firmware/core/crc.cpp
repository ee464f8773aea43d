#include "crc.hpp"

namespace wildrobot {
namespace {

struct Table {
  std::uint16_t entry[256];

  constexpr Table() : entry() {
    for (unsigned byte = 0; byte < 256; ++byte) {
      unsigned crc = byte << 8;
      for (int bit = 0; bit < 8; ++bit) crc = (crc & 0x8000u) ? (crc << 1) ^ 0x8005u : crc << 1;
      entry[byte] = static_cast<std::uint16_t>(crc);
    }
  }
};

constexpr Table kTable;

}  // namespace

std::uint16_t crc16(const std::uint8_t* data, std::size_t size, std::uint16_t crc) {
  for (std::size_t i = 0; i < size; ++i) {
    crc = static_cast<std::uint16_t>((crc << 8) ^ kTable.entry[(crc >> 8) ^ data[i]]);
  }
  return crc;
}

}  // namespace wildrobot
