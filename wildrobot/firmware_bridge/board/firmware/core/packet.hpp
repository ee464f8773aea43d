// Protocol 2.0 on the wire: packets out of a stream of bytes, and status packets into bytes.
//
//   FF FF FD 00 | ID | LEN (2) | INST ... parameters | CRC (2)
//
// LEN counts everything after itself. Inside INST...parameters every FF FF FD is followed by a stuffed FD.
#pragma once

#include <cstddef>
#include <cstdint>

namespace wildrobot {

constexpr std::uint8_t kBroadcastId = 0xFE;
constexpr std::size_t kHeaderSize = 4;
constexpr std::size_t kOverhead = 7;  // up to and including LEN
constexpr std::size_t kMinLength = 3;
constexpr std::size_t kMaxLength = 1024;  // longest LEN that is believed; a longer one is noise
constexpr std::uint8_t kHeader[kHeaderSize] = {0xFF, 0xFF, 0xFD, 0x00};

enum class Instruction : std::uint8_t {
  kPing = 0x01,
  kRead = 0x02,
  kWrite = 0x03,
  kRegWrite = 0x04,
  kAction = 0x05,
  kFactoryReset = 0x06,
  kReboot = 0x08,
  kStatus = 0x55,
  kSyncRead = 0x82,
  kSyncWrite = 0x83,
  kFastSyncRead = 0x8A,
  kBulkRead = 0x92,
  kBulkWrite = 0x93,
  kFastBulkRead = 0x9A,
};

enum class Error : std::uint8_t {
  kNone = 0,
  kResultFail = 1,
  kInstruction = 2,
  kCrc = 3,
  kDataRange = 4,
  kDataLength = 5,
  kDataLimit = 6,
  kAccess = 7,
};

inline std::uint16_t u16(const std::uint8_t* bytes) {
  return static_cast<std::uint16_t>(bytes[0] | (bytes[1] << 8));
}

// Removes stuffed bytes in place; returns the new size.
std::size_t unstuff(std::uint8_t* data, std::size_t size);

// A packet whose CRC was right. The pointers are good until the parser is touched again.
struct Packet {
  std::uint8_t id = 0;
  std::uint8_t instruction = 0;
  const std::uint8_t* parameters = nullptr;  // unstuffed, unless it is a fast status
  std::size_t size = 0;                      // of the parameters
};

// Packets out of a stream, however it is cut and whatever lies between them. Nothing is accepted without its CRC; after
// a wrong one the search goes on one byte behind the false header, so that a true packet behind it is still found.
class Parser {
 public:
  // Takes one byte. Call `next` after every byte, until it finds nothing more.
  void push(std::uint8_t byte);

  // The next whole packet, if there is one.
  bool next(Packet* packet);

  void reset();
  bool empty() const { return size_ == 0; }
  std::uint32_t crc_errors() const { return crc_errors_; }
  std::uint32_t accepted() const { return accepted_; }

 private:
  void drop(std::size_t count);
  void drop_to_header();

  std::uint8_t buffer_[kOverhead + kMaxLength];
  std::size_t size_ = 0;
  std::size_t consumed_ = 0;  // bytes of the packet given out last
  std::uint32_t crc_errors_ = 0;
  std::uint32_t accepted_ = 0;
};

// Builds one status packet in a buffer of fixed size.
class StatusWriter {
 public:
  StatusWriter(std::uint8_t* out, std::size_t capacity) : out_(out), capacity_(capacity) {}

  void begin(std::uint8_t id, std::uint8_t error);
  void add(const std::uint8_t* data, std::size_t size);

  // Bytes of the packet; 0 when the buffer was too small.
  std::size_t finish();

 private:
  void put(std::uint8_t byte);
  void put_stuffed(std::uint8_t byte);

  std::uint8_t* out_;
  std::size_t capacity_;
  std::size_t size_ = 0;
  unsigned matched_ = 0;  // how much of FF FF FD the body ends with
  bool fits_ = true;
};

}  // namespace wildrobot
