// A board's turn in a sync or bulk read. One after the other the devices of the list answer:
//
//   plain   each with a status packet of its own, when it has heard the whole status of the device before it;
//   fast    all in one packet, each with its block [ERR ID data CRC] when the bytes before its own have passed. The
//           first sends the header too; every CRC goes over all bytes since the header.
//
// A device that keeps silent silences those behind it; the chain is given up when the bus has been silent too long.
#pragma once

#include <cstddef>
#include <cstdint>

#include "packet.hpp"

namespace wildrobot {

constexpr std::size_t kMaxDevices = 253;  // ids that exist

// The devices of a request and the bytes that each is asked for, in order. Points into the parameters.
class ReadList {
 public:
  struct Item {
    std::uint8_t id;
    std::uint16_t address;
    std::uint16_t size;
  };

  // False when the parameters are malformed.
  bool parse(bool bulk, const std::uint8_t* parameters, std::size_t size);
  std::size_t count() const { return count_; }
  Item item(std::size_t index) const;
  // Place of a device, `count()` when it is not asked.
  std::size_t find(std::uint8_t id) const;

 private:
  bool bulk_ = false;
  const std::uint8_t* parameters_ = nullptr;
  std::size_t count_ = 0;
};

// Follows a fast status byte by byte from its header to its end. Every byte that is known beforehand is compared (the
// header with LEN, each block's ID and CRC): a block is never added to a broken answer.
class FastChain {
 public:
  enum class State { kIdle, kBefore, kTurn, kAfter };

  // The board is number `index` of the list. False when no packet could hold the answer.
  bool begin(const ReadList& list, std::size_t index);
  void stop() { state_ = State::kIdle; }
  State state() const { return state_; }
  bool following() const { return state_ == State::kBefore || state_ == State::kAfter; }

  // Takes a byte from the others. False when it is not this answer's: the chain is over, and `replay` and this byte may
  // be the beginning of something else.
  bool push(std::uint8_t byte);
  // Bytes (at most kOverhead) that were taken for part of this answer before `push` was false; returns how many.
  std::size_t replay(std::uint8_t* out) const;

  // The board's own part: header if it is the first, ERR, ID, data, CRC. Returns its size, 0 when it does not fit.
  std::size_t answer(std::uint8_t error, const std::uint8_t* data, std::uint8_t* out, std::size_t capacity);
  // It has been sent.
  void answered();

 private:
  struct Block {
    std::uint8_t id;
    std::uint16_t size;
  };
  static constexpr std::size_t kStart = kOverhead + 1;

  void next_block();

  State state_ = State::kIdle;
  std::uint8_t start_[kStart] = {};
  Block blocks_[kMaxDevices] = {};
  std::size_t count_ = 0;
  std::size_t own_ = 0;
  std::size_t matched_ = 0;   // bytes of the header that have passed
  std::size_t block_ = 0;     // the block that is passing
  std::size_t in_block_ = 0;  // bytes of it that have passed
  std::uint8_t error_ = 0;    // its ERR
  std::uint8_t crc_low_ = 0;
  std::uint16_t crc_ = 0;  // of everything that has passed
  std::uint16_t crc_with_own_ = 0;
};

}  // namespace wildrobot
