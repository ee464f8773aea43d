#include "board.hpp"

#include <cstring>

namespace wildrobot {
namespace {

constexpr std::uint8_t kAlert = 0x80;
constexpr std::uint8_t kResetAll = 0xFF;
constexpr std::uint8_t kResetKeepId = 0x01;
constexpr std::uint8_t kResetKeepIdAndBaud = 0x02;
// Lowest status return level at which an instruction is answered.
constexpr std::uint8_t kLevelPing = 0;
constexpr std::uint8_t kLevelRead = 1;
constexpr std::uint8_t kLevelAll = 2;
// Microseconds of a byte on the wire (10 bits) by baud rate code, rounded up.
constexpr std::uint16_t kByteUs[] = {1042, 174, 87, 10, 5, 4, 3};
constexpr std::uint8_t kZeros[table::kSize] = {};

}  // namespace

Board::Board(const std::uint8_t* eeprom, const Config& config, std::uint32_t now_us) : config_(config) {
  registers_.boot(eeprom, config_.max_baud_rate);
  sensors_.reset(now_us);
  received_us_ = now_us - kSilenceUs;
}

void Board::reboot(std::uint32_t now_us) {
  std::uint8_t kept[kEepromSize];
  std::memcpy(kept, registers_.bytes(), kEepromSize);
  registers_.boot(kept, config_.max_baud_rate);
  sensors_.reset(now_us);
  parser_.reset();
  fast_.stop();
  waiting_ = false;
  registered_size_ = 0;
  reply_size_ = 0;
  reboot_after_reply_ = false;
  booting_ = config_.boot_us > 0;
  booted_us_ = now_us;
  ++reboots_;
}

bool Board::booting(std::uint32_t now_us) {
  if (booting_ && now_us - booted_us_ >= config_.boot_us) booting_ = false;
  return booting_;
}

void Board::set_imu(const float quaternion_wxyz[4], const float gyro_rad_s[3], const float acceleration_m_s2[3],
                    bool calibrated, std::uint32_t now_us) {
  if (!booting(now_us)) sensors_.set_imu(quaternion_wxyz, gyro_rad_s, acceleration_m_s2, calibrated, now_us);
}

void Board::set_feet(const float force_n[table::kFootForceCount], std::uint32_t now_us) {
  if (!booting(now_us)) sensors_.set_feet(force_n, now_us);
}

bool Board::take_save() {
  const bool save = save_;
  save_ = false;
  return save;
}

// Forgets what the bus has broken off. Bytes may come in pieces as long as a packet: a piece counts from its first byte.
void Board::silence(std::size_t size, std::uint32_t now_us) {
  const std::uint32_t wire_us = static_cast<std::uint32_t>(size) * kByteUs[registers_.bytes()[table::kBaudRate]];
  const std::int32_t gap_us = static_cast<std::int32_t>(now_us - received_us_ - wire_us);
  if (gap_us > static_cast<std::int32_t>(kSilenceUs)) {
    parser_.reset();
    if (fast_.following()) fast_.stop();
  }
  if (gap_us > static_cast<std::int32_t>(kChainSilenceUs)) waiting_ = false;
}

void Board::receive(const std::uint8_t* bytes, std::size_t size, std::uint32_t now_us) {
  sensors_.tick(now_us);
  if (size == 0 || booting(now_us)) return;
  silence(size, now_us);
  received_us_ = now_us;
  for (std::size_t i = 0; i < size; ++i) {
    if (fast_.state() == FastChain::State::kTurn) {
      // Somebody else talks in the board's turn: whatever it is, the answer is broken.
      fast_.stop();
      reply_size_ = 0;
    }
    if (!fast_.following()) {
      parse(bytes[i], now_us);
    } else if (!fast_.push(bytes[i])) {
      std::uint8_t replay[kOverhead];
      const std::size_t count = fast_.replay(replay);
      for (std::size_t k = 0; k < count; ++k) parse(replay[k], now_us);
      parse(bytes[i], now_us);
    } else if (fast_.state() == FastChain::State::kTurn) {
      reply_fast(now_us);
    }
  }
}

std::size_t Board::poll(std::uint32_t now_us, std::uint8_t* out, std::size_t capacity, std::uint32_t* start_us) {
  sensors_.tick(now_us);
  if (reply_size_ == 0) return 0;
  const std::size_t size = reply_size_ <= capacity ? reply_size_ : 0;
  reply_size_ = 0;
  std::memcpy(out, reply_, size);
  *start_us = static_cast<std::int32_t>(reply_us_ - now_us) > 0 ? reply_us_ : now_us;
  if (fast_.state() == FastChain::State::kTurn) fast_.answered();
  // Silence is measured from the end of what was on the bus last, and that is now the board's own answer.
  received_us_ = *start_us + static_cast<std::uint32_t>(size) * kByteUs[registers_.bytes()[table::kBaudRate]];
  if (reboot_after_reply_) reboot(now_us);
  return size;
}

void Board::parse(std::uint8_t byte, std::uint32_t now_us) {
  parser_.push(byte);
  Packet packet;
  while (parser_.next(&packet)) handle(packet, now_us);
}

void Board::handle(const Packet& packet, std::uint32_t now_us) {
  if (packet.instruction == static_cast<std::uint8_t>(Instruction::kStatus)) {
    if (waiting_ && packet.id == predecessor_) {
      waiting_ = false;
      reply_read(asked_.address, asked_.size, asked_error_, delayed(now_us));
    }
    return;
  }
  if (reboot_after_reply_) return reboot(now_us);  // nobody waited for its answer
  // A new instruction: what the one before it wanted is over.
  waiting_ = false;
  reply_size_ = 0;
  if (packet.id == kBroadcastId) {
    switch (static_cast<Instruction>(packet.instruction)) {
      case Instruction::kSyncRead:
        return read_list(packet, false, false, now_us);
      case Instruction::kFastSyncRead:
        return read_list(packet, false, true, now_us);
      case Instruction::kBulkRead:
        return read_list(packet, true, false, now_us);
      case Instruction::kFastBulkRead:
        return read_list(packet, true, true, now_us);
      case Instruction::kSyncWrite:
        return write_sync(packet);
      case Instruction::kBulkWrite:
        return write_bulk(packet);
      default:
        return unicast(packet, true, now_us);
    }
  }
  if (packet.id == id()) unicast(packet, false, now_us);
}

// Instructions for one device; sent to all, only a ping is answered.
void Board::unicast(const Packet& packet, bool broadcast, std::uint32_t now_us) {
  const std::uint8_t* parameters = packet.parameters;
  Error error = Error::kNone;
  const std::uint8_t address = id();  // an answer comes from the id that was asked, even if it has just changed
  const std::uint8_t level = registers_.bytes()[table::kStatusReturnLevel];
  const std::uint32_t at_us = delayed(now_us);
  bool reboots = false;
  switch (static_cast<Instruction>(packet.instruction)) {
    case Instruction::kPing: {
      const std::uint8_t* bytes = registers_.bytes();
      const std::uint8_t data[3] = {bytes[table::kModelNumber], bytes[table::kModelNumber + 1],
                                    bytes[table::kFirmwareVersion]};
      const std::uint32_t slot_us = broadcast ? config_.broadcast_slot_us * address : 0;
      return reply(kLevelPing, Error::kNone, data, sizeof(data), at_us + slot_us);
    }
    case Instruction::kRead: {
      if (broadcast) return;
      if (packet.size != 4) return reply(kLevelRead, Error::kDataLength, nullptr, 0, at_us);
      const std::size_t size = u16(parameters + 2);
      error = latch(u16(parameters), size, now_us);
      return reply_read(u16(parameters), size, error, at_us);
    }
    case Instruction::kWrite:
      error = packet.size < 3 ? Error::kDataLength : write(u16(parameters), parameters + 2, packet.size - 2);
      break;
    case Instruction::kRegWrite:
      error = packet.size < 3 ? Error::kDataLength
                              : registers_.check_write(u16(parameters), parameters + 2, packet.size - 2);
      if (error == Error::kNone) {
        registered_address_ = u16(parameters);
        registered_size_ = packet.size - 2;
        std::memcpy(registered_, parameters + 2, registered_size_);
        registers_.bytes()[table::kRegisteredInstruction] = 1;
      }
      break;
    case Instruction::kAction:
      if (registered_size_ == 0) {
        error = Error::kInstruction;
      } else {
        error = write(registered_address_, registered_, registered_size_);
        registered_size_ = 0;
        registers_.bytes()[table::kRegisteredInstruction] = 0;
      }
      break;
    case Instruction::kFactoryReset:
      error = factory_reset(packet, broadcast);
      break;
    case Instruction::kReboot:
      reboots = true;
      break;
    default:
      error = Error::kInstruction;
  }
  if (!broadcast && level >= kLevelAll) {
    StatusWriter writer(reply_, sizeof(reply_));
    writer.begin(address, status_error(error));
    reply_size_ = writer.finish();
    reply_us_ = at_us;
  }
  if (reboots && reply_size_ == 0) return reboot(now_us);
  reboot_after_reply_ = reboots;
}

void Board::read_list(const Packet& packet, bool bulk, bool fast, std::uint32_t now_us) {
  ReadList list;
  if (!list.parse(bulk, packet.parameters, packet.size)) return;
  const std::size_t index = list.find(id());
  if (index == list.count() || registers_.bytes()[table::kStatusReturnLevel] < kLevelRead) return;
  // Everything is measured when the request ends, wherever in the list the board stands.
  asked_ = list.item(index);
  asked_error_ = latch(asked_.address, asked_.size, now_us);
  if (fast) {
    // A block has the size that was asked for even if it is an error; one beyond the table has none to give.
    if (asked_.size > table::kSize || !fast_.begin(list, index)) return;
    if (fast_.state() == FastChain::State::kTurn) reply_fast(delayed(now_us));
  } else if (index == 0) {
    reply_read(asked_.address, asked_.size, asked_error_, delayed(now_us));
  } else {
    waiting_ = true;
    predecessor_ = list.item(index - 1).id;
  }
}

void Board::write_sync(const Packet& packet) {
  if (packet.size < 5) return;
  const std::size_t size = u16(packet.parameters + 2);
  if (size == 0 || (packet.size - 4) % (size + 1) != 0) return;
  for (std::size_t at = 4; at < packet.size; at += size + 1) {
    if (packet.parameters[at] == id()) {
      write(u16(packet.parameters), packet.parameters + at + 1, size);
      return;
    }
  }
}

void Board::write_bulk(const Packet& packet) {
  const std::uint8_t* own = nullptr;
  std::size_t at = 0;
  // The whole list has to be well-formed before any of it counts.
  while (at < packet.size) {
    if (packet.size - at < 5) return;
    const std::size_t size = u16(packet.parameters + at + 3);
    if (size > packet.size - at - 5) return;
    if (own == nullptr && packet.parameters[at] == id()) own = packet.parameters + at;
    at += 5 + size;
  }
  if (own != nullptr) write(u16(own + 1), own + 5, u16(own + 3));
}

Error Board::write(std::size_t address, const std::uint8_t* data, std::size_t size) {
  const Error error = registers_.check_write(address, data, size);
  if (error == Error::kNone && registers_.write(address, data, size)) save_ = true;
  return error;
}

Error Board::factory_reset(const Packet& packet, bool broadcast) {
  if (packet.size != 1) return Error::kDataLength;
  const std::uint8_t option = packet.parameters[0];
  if (option != kResetAll && option != kResetKeepId && option != kResetKeepIdAndBaud) return Error::kDataRange;
  // As the servos do: one packet never gives every device on the bus the same id.
  if (broadcast && option == kResetAll) return Error::kNone;
  const std::uint8_t hardware_error = registers_.bytes()[table::kHardwareErrorStatus];
  registers_.factory_reset(option != kResetAll, option == kResetKeepIdAndBaud);
  set_hardware_error(hardware_error);
  registered_size_ = 0;
  save_ = true;
  return Error::kNone;
}

// Makes the table ready to be read there: the whole sample block at once, so that it belongs to one instant.
Error Board::latch(std::size_t address, std::size_t size, std::uint32_t now_us) {
  const Error error = registers_.check_read(address, size);
  if (error == Error::kNone && address + size > table::kSampleBegin) sensors_.latch(registers_.bytes(), now_us);
  return error;
}

std::uint8_t Board::status_error(Error error) const {
  const unsigned alert = registers_.bytes()[table::kHardwareErrorStatus] != 0 ? kAlert : 0u;
  return static_cast<std::uint8_t>(alert | static_cast<std::uint8_t>(error));
}

void Board::reply(std::uint8_t level, Error error, const std::uint8_t* data, std::size_t size, std::uint32_t at_us) {
  if (registers_.bytes()[table::kStatusReturnLevel] < level) return;
  StatusWriter writer(reply_, sizeof(reply_));
  writer.begin(id(), status_error(error));
  writer.add(data, size);
  reply_size_ = writer.finish();
  reply_us_ = at_us;
}

void Board::reply_read(std::size_t address, std::size_t size, Error error, std::uint32_t at_us) {
  const bool good = error == Error::kNone;
  reply(kLevelRead, error, good ? registers_.bytes() + address : nullptr, good ? size : 0, at_us);
}

void Board::reply_fast(std::uint32_t at_us) {
  const std::uint8_t* data = asked_error_ == Error::kNone ? registers_.bytes() + asked_.address : kZeros;
  reply_size_ = fast_.answer(status_error(asked_error_), data, reply_, sizeof(reply_));
  reply_us_ = at_us;
}

}  // namespace wildrobot
