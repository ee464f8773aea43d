// CRC-16 of Protocol 2.0: polynomial 0x8005, initial value 0, not reflected.
#pragma once

#include <cstddef>
#include <cstdint>

namespace wildrobot {

// `crc` continues an earlier part.
std::uint16_t crc16(const std::uint8_t* data, std::size_t size, std::uint16_t crc = 0);

}  // namespace wildrobot
