#include "crc.hpp"

namespace wildrobot {
namespace {

// C++11, which the board's package compiles as, has no loops in what is computed while compiling.
constexpr unsigned shifted(unsigned crc, int bits) {
  return bits == 0 ? crc & 0xFFFFu : shifted((crc & 0x8000u) ? (crc << 1) ^ 0x8005u : crc << 1, bits - 1);
}

#define WR_1(byte) static_cast<std::uint16_t>(shifted((byte) << 8, 8))
#define WR_4(byte) WR_1(byte), WR_1((byte) + 1u), WR_1((byte) + 2u), WR_1((byte) + 3u)
#define WR_16(byte) WR_4(byte), WR_4((byte) + 4u), WR_4((byte) + 8u), WR_4((byte) + 12u)
#define WR_64(byte) WR_16(byte), WR_16((byte) + 16u), WR_16((byte) + 32u), WR_16((byte) + 48u)
constexpr std::uint16_t kTable[256] = {WR_64(0u), WR_64(64u), WR_64(128u), WR_64(192u)};

}  // namespace

std::uint16_t crc16(const std::uint8_t* data, std::size_t size, std::uint16_t crc) {
  for (std::size_t i = 0; i < size; ++i) {
    crc = static_cast<std::uint16_t>((crc << 8) ^ kTable[(crc >> 8) ^ data[i]]);
  }
  return crc;
}

}  // namespace wildrobot
