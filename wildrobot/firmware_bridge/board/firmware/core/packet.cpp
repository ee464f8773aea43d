#include "packet.hpp"

#include <cstring>

#include "crc.hpp"

namespace wildrobot {

std::size_t unstuff(std::uint8_t* data, std::size_t size) {
  std::size_t to = 0;
  for (std::size_t from = 0; from < size;) {
    const bool stuffed = size - from >= 4 && data[from] == 0xFF && data[from + 1] == 0xFF &&
                         data[from + 2] == 0xFD && data[from + 3] == 0xFD;
    const std::size_t keep = stuffed ? 3 : 1;
    std::memmove(data + to, data + from, keep);
    to += keep;
    from += stuffed ? 4 : 1;
  }
  return to;
}

void Parser::reset() {
  size_ = 0;
  consumed_ = 0;
}

void Parser::drop(std::size_t count) {
  if (count == 0) return;
  size_ -= count;
  std::memmove(buffer_, buffer_ + count, size_);
}

void Parser::push(std::uint8_t byte) {
  if (consumed_ > 0) {
    drop(consumed_);
    consumed_ = 0;
  }
  // Cannot happen while `next` is called after every byte: a full buffer is a whole packet or no packet.
  if (size_ == sizeof(buffer_)) drop(1);
  buffer_[size_++] = byte;
}

// Drops what cannot begin a packet: afterwards the buffer is a prefix of the header, or begins with it.
void Parser::drop_to_header() {
  std::size_t start = 0;
  for (; start < size_; ++start) {
    const std::size_t rest = size_ - start;
    if (std::memcmp(buffer_ + start, kHeader, rest < kHeaderSize ? rest : kHeaderSize) == 0) break;
  }
  drop(start);
}

bool Parser::next(Packet* packet) {
  if (consumed_ > 0) {
    drop(consumed_);
    consumed_ = 0;
  }
  while (true) {
    drop_to_header();
    if (size_ < kOverhead) return false;
    const std::size_t length = u16(buffer_ + 5);
    if (length < kMinLength || length > kMaxLength) {
      drop(1);
      continue;
    }
    const std::size_t end = kOverhead + length;
    if (size_ < end) return false;
    if (crc16(buffer_, end - 2) != u16(buffer_ + end - 2)) {
      ++crc_errors_;
      drop(1);
      continue;
    }
    std::uint8_t* body = buffer_ + kOverhead;
    const bool status = body[0] == static_cast<std::uint8_t>(Instruction::kStatus);
    std::size_t body_size = length - 2;
    if (!(status && buffer_[4] == kBroadcastId)) body_size = unstuff(body, body_size);
    consumed_ = end;
    ++accepted_;
    packet->id = buffer_[4];
    packet->instruction = body[0];
    packet->parameters = body + 1;
    packet->size = body_size - 1;
    return true;
  }
}

void StatusWriter::put(std::uint8_t byte) {
  if (size_ < capacity_) {
    out_[size_++] = byte;
  } else {
    fits_ = false;
  }
}

void StatusWriter::put_stuffed(std::uint8_t byte) {
  put(byte);
  if (byte == 0xFF) {
    if (matched_ < 2) ++matched_;
  } else if (byte == 0xFD && matched_ == 2) {
    put(0xFD);
    matched_ = 0;
  } else {
    matched_ = 0;
  }
}

void StatusWriter::begin(std::uint8_t id, std::uint8_t error) {
  size_ = 0;
  matched_ = 0;
  fits_ = true;
  for (std::uint8_t byte : kHeader) put(byte);
  put(id);
  put(0);  // LEN comes last
  put(0);
  put_stuffed(static_cast<std::uint8_t>(Instruction::kStatus));
  put_stuffed(error);
}

void StatusWriter::add(const std::uint8_t* data, std::size_t size) {
  for (std::size_t i = 0; i < size; ++i) put_stuffed(data[i]);
}

std::size_t StatusWriter::finish() {
  const std::size_t length = size_ - kOverhead + 2;
  if (!fits_ || size_ + 2 > capacity_ || length > kMaxLength) return 0;
  out_[5] = static_cast<std::uint8_t>(length & 0xFF);
  out_[6] = static_cast<std::uint8_t>(length >> 8);
  const std::uint16_t crc = crc16(out_, size_);
  out_[size_++] = static_cast<std::uint8_t>(crc & 0xFF);
  out_[size_++] = static_cast<std::uint8_t>(crc >> 8);
  return size_;
}

}  // namespace wildrobot
