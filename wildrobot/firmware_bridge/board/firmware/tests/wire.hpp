// The other end of the wire, written apart from the core: packets by the definition, CRC bit by bit.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "../core/board.hpp"

namespace wire {

using Bytes = std::vector<std::uint8_t>;

inline std::uint16_t crc(const std::uint8_t* data, std::size_t size) {
  std::uint16_t value = 0;
  for (std::size_t i = 0; i < size; ++i) {
    for (int bit = 7; bit >= 0; --bit) {
      const bool top = ((value >> 15) ^ (data[i] >> bit)) & 1;
      value = static_cast<std::uint16_t>((value << 1) ^ (top ? 0x8005 : 0));
    }
  }
  return value;
}

inline void append_crc(Bytes& bytes) {
  const std::uint16_t value = crc(bytes.data(), bytes.size());
  bytes.push_back(static_cast<std::uint8_t>(value & 0xFF));
  bytes.push_back(static_cast<std::uint8_t>(value >> 8));
}

inline Bytes packet(std::uint8_t id, Bytes body, bool stuffed = true) {
  Bytes out = {0xFF, 0xFF, 0xFD, 0x00, id, 0, 0};
  for (std::uint8_t byte : body) {
    out.push_back(byte);
    const std::size_t n = out.size();
    if (stuffed && n >= 10 && out[n - 3] == 0xFF && out[n - 2] == 0xFF && byte == 0xFD) out.push_back(0xFD);
  }
  const std::size_t length = out.size() - 7 + 2;
  out[5] = static_cast<std::uint8_t>(length & 0xFF);
  out[6] = static_cast<std::uint8_t>(length >> 8);
  append_crc(out);
  return out;
}

inline Bytes instruction(std::uint8_t id, wildrobot::Instruction inst, Bytes parameters = {}) {
  parameters.insert(parameters.begin(), static_cast<std::uint8_t>(inst));
  return packet(id, parameters);
}

inline Bytes status(std::uint8_t id, std::uint8_t error, Bytes data = {}) {
  data.insert(data.begin(), {0x55, error});
  return packet(id, data);
}

// One answer with the blocks (error, id, data) of several devices.
struct Block {
  std::uint8_t error;
  std::uint8_t id;
  Bytes data;
};

inline Bytes fast_status(const std::vector<Block>& blocks) {
  std::size_t length = 1;
  for (const Block& block : blocks) length += 4 + block.data.size();
  Bytes out = {0xFF, 0xFF, 0xFD, 0x00, 0xFE, static_cast<std::uint8_t>(length & 0xFF),
               static_cast<std::uint8_t>(length >> 8), 0x55};
  for (const Block& block : blocks) {
    out.push_back(block.error);
    out.push_back(block.id);
    out.insert(out.end(), block.data.begin(), block.data.end());
    append_crc(out);
  }
  return out;
}

}  // namespace wire
