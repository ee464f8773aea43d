#include "chain.hpp"

#include <cstring>

#include "crc.hpp"

namespace wildrobot {

bool ReadList::parse(bool bulk, const std::uint8_t* parameters, std::size_t size) {
  bulk_ = bulk;
  parameters_ = parameters;
  if (bulk ? size == 0 || size % 5 != 0 : size < 5) return false;
  count_ = bulk ? size / 5 : size - 4;
  return true;
}

ReadList::Item ReadList::item(std::size_t index) const {
  const std::uint8_t* range = bulk_ ? parameters_ + 5 * index + 1 : parameters_;
  return {bulk_ ? range[-1] : parameters_[4 + index], u16(range), u16(range + 2)};
}

std::size_t ReadList::find(std::uint8_t id) const {
  std::size_t index = 0;
  while (index < count_ && item(index).id != id) ++index;
  return index;
}

bool FastChain::begin(const ReadList& list, std::size_t index) {
  state_ = State::kIdle;
  if (list.count() > kMaxDevices) return false;
  std::size_t length = 1;
  for (std::size_t i = 0; i < list.count(); ++i) {
    const ReadList::Item item = list.item(i);
    blocks_[i] = {item.id, item.size};
    length += 4 + item.size;
  }
  if (length > kMaxLength) return false;
  std::memcpy(start_, kHeader, kHeaderSize);
  start_[4] = kBroadcastId;
  start_[5] = static_cast<std::uint8_t>(length & 0xFF);
  start_[6] = static_cast<std::uint8_t>(length >> 8);
  start_[7] = static_cast<std::uint8_t>(Instruction::kStatus);
  count_ = list.count();
  own_ = index;
  matched_ = index == 0 ? kStart : 0;
  block_ = in_block_ = 0;
  crc_ = crc16(start_, kStart);
  state_ = index == 0 ? State::kTurn : State::kBefore;
  return true;
}

void FastChain::next_block() {
  in_block_ = 0;
  ++block_;
  if (block_ == count_) {
    state_ = State::kIdle;
  } else if (block_ == own_) {
    state_ = State::kTurn;
  }
}

bool FastChain::push(std::uint8_t byte) {
  if (matched_ < kStart) {
    if (byte != start_[matched_]) {
      state_ = State::kIdle;
      return false;
    }
    ++matched_;
    return true;
  }
  const Block& block = blocks_[block_];
  const std::size_t data_end = 2u + block.size;
  if (in_block_ == data_end + 1) {
    const std::uint8_t crc_bytes[2] = {crc_low_, byte};
    if (u16(crc_bytes) != crc_) {
      state_ = State::kIdle;
      return false;
    }
    crc_ = crc16(crc_bytes, 2, crc_);
    next_block();
    return true;
  }
  if (in_block_ == data_end) {
    crc_low_ = byte;
  } else if (in_block_ == 1 && byte != block.id) {
    state_ = State::kIdle;
    return false;
  } else {
    if (in_block_ == 0) error_ = byte;
    crc_ = crc16(&byte, 1, crc_);
  }
  ++in_block_;
  return true;
}

std::size_t FastChain::replay(std::uint8_t* out) const {
  if (matched_ < kStart) {
    std::memcpy(out, start_, matched_);
    return matched_;
  }
  if (in_block_ != 1) return 0;  // a wrong CRC: the block was one, but damaged
  out[0] = error_;
  return 1;
}

std::size_t FastChain::answer(std::uint8_t error, const std::uint8_t* data, std::uint8_t* out, std::size_t capacity) {
  const Block& block = blocks_[own_];
  const std::size_t head = own_ == 0 ? kStart : 0;
  const std::size_t size = head + 4 + block.size;
  if (size > capacity) return 0;
  std::memcpy(out, start_, head);
  std::uint8_t* own = out + head;
  own[0] = error;
  own[1] = block.id;
  std::memcpy(own + 2, data, block.size);
  crc_with_own_ = crc16(own, 2u + block.size, crc_);
  std::uint8_t* crc_bytes = own + 2 + block.size;
  crc_bytes[0] = static_cast<std::uint8_t>(crc_with_own_ & 0xFF);
  crc_bytes[1] = static_cast<std::uint8_t>(crc_with_own_ >> 8);
  crc_with_own_ = crc16(crc_bytes, 2, crc_with_own_);
  return size;
}

void FastChain::answered() {
  crc_ = crc_with_own_;
  state_ = State::kAfter;
  next_block();
}

}  // namespace wildrobot
