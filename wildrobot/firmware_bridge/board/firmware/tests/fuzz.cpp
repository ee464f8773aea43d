// Random and mutated byte strings into the parser and the board. Checked for each: no crash (sanitizers), every accepted
// packet has a right CRC by an independent reckoning, a string without any right packet changes nothing and is not
// answered, and what the board sends is well-formed.
//
//   fuzz [count] [seed]        or, with -DLIBFUZZER and -fsanitize=fuzzer, a libFuzzer target
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>

#include "wire.hpp"

namespace {

using wildrobot::Board;
using wildrobot::Instruction;
using wire::Bytes;

struct Figures {
  std::size_t accepted = 0;
  std::size_t answers = 0;
  std::size_t blocks = 0;
} figures;

[[noreturn]] void fail(const char* what, const std::uint8_t* data, std::size_t size) {
  std::fprintf(stderr, "%s:", what);
  for (std::size_t i = 0; i < size; ++i) std::fprintf(stderr, " %02x", data[i]);
  std::fprintf(stderr, "\n");
  std::abort();
}

bool right_packet(const std::uint8_t* data, std::size_t size) {
  if (size < 10 || std::memcmp(data, "\xff\xff\xfd\x00", 4) != 0) return false;
  const std::size_t length = data[5] + 256u * data[6];
  if (length < 3 || length > 1024 || size < 7 + length) return false;
  return wire::crc(data, 5 + length) == data[5 + length] + 256u * data[6 + length];
}

bool holds_packet(const std::uint8_t* data, std::size_t size) {
  for (std::size_t i = 0; i < size; ++i) {
    if (right_packet(data + i, size - i)) return true;
  }
  return false;
}

void check_parser(const std::uint8_t* data, std::size_t size) {
  wildrobot::Parser parser;
  wildrobot::Packet packet;
  std::size_t searched = 0;  // packets come in order and do not overlap
  for (std::size_t i = 0; i < size; ++i) {
    parser.push(data[i]);
    while (parser.next(&packet)) {
      ++figures.accepted;
      std::size_t at = searched;
      while (at <= i && !(right_packet(data + at, i + 1 - at) && data[at + 4] == packet.id &&
                          data[at + 7] == packet.instruction && data[at + 5] + 256u * data[at + 6] >= packet.size + 3)) {
        ++at;
      }
      if (at > i) fail("accepted what is no packet", data, size);
      searched = at + 7 + data[at + 5] + 256u * data[at + 6];
    }
  }
}

// A status packet of the board with its stuffing in order, a fast status that begins with the board's block, or a block
// that goes on a fast status (its CRC is over bytes that others sent; the unit tests check it).
void check_answer(const Bytes& out) {
  ++figures.answers;
  const std::size_t n = out.size();
  if (n >= 11 && std::memcmp(out.data(), "\xff\xff\xfd\x00", 4) == 0) {
    const std::size_t length = out[5] + 256u * out[6];
    if (out[4] == 0xFE) {
      const bool crc = wire::crc(out.data(), n - 2) == out[n - 2] + 256u * out[n - 1];
      if (!crc || out[7] != 0x55 || length + 7 < n) fail("bad fast status", out.data(), n);
      return;
    }
    if (n != 7 + length || !right_packet(out.data(), n) || out[7] != 0x55) fail("bad status", out.data(), n);
    for (std::size_t i = 7; i + 3 < n - 2; ++i) {
      if (out[i] == 0xFF && out[i + 1] == 0xFF && out[i + 2] == 0xFD && out[i + 3] != 0xFD) {
        fail("not stuffed", out.data(), n);
      }
    }
    return;
  }
  ++figures.blocks;
  if (n < 4) fail("bad block", out.data(), n);
}

// The first bytes say how the string is cut, and when its pieces come.
void check_board(const std::uint8_t* data, std::size_t size) {
  wildrobot::Config config;
  config.boot_us = 100;
  Board board(nullptr, config, 0);
  std::uint8_t before[wildrobot::table::kSize];
  std::memcpy(before, board.registers(), sizeof(before));
  std::uint32_t now = 0xFFFFF000u;  // the clock wraps on the way
  Bytes out(wildrobot::kReplySize);
  bool answered = false;
  std::size_t at = 0;
  unsigned seed = size > 0 ? data[0] : 0u;
  while (at < size) {
    seed = seed * 1103515245u + 12345u;
    std::size_t piece = (seed >> 16) % 8 == 0 ? size - at : 1 + (seed >> 20) % 40;
    if (piece > size - at) piece = size - at;
    now += static_cast<std::uint32_t>(10 * piece) + ((seed >> 8) % 64 == 0 ? 5000u : 0u);
    board.receive(data + at, piece, now);
    at += piece;
    if ((seed >> 12) % 4 == 0) {
      const float value = static_cast<float>(static_cast<int>(seed % 4000u) - 2000) / 100.0f;
      const float values[4] = {value, -value, value / 2, 1.0f};
      board.set_imu(values, values, values, true, now);
      board.set_feet(values, now);
    }
    std::uint32_t start = 0;
    const std::size_t n = board.poll(now, out.data(), out.size(), &start);
    if (n > 0) {
      answered = true;
      if (static_cast<std::int32_t>(start - now) < 0) fail("answered in the past", data, size);
      check_answer(Bytes(out.begin(), out.begin() + static_cast<std::ptrdiff_t>(n)));
    }
  }
  if (!holds_packet(data, size) && (answered || std::memcmp(before, board.registers(), sizeof(before)) != 0)) {
    fail("reacted to no packet", data, size);
  }
}

void check_string(const std::uint8_t* data, std::size_t size) {
  check_parser(data, size);
  check_board(data, size);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  check_string(data, size);
  return 0;
}

#ifndef LIBFUZZER
namespace {

class Strings {
 public:
  explicit Strings(unsigned seed) : random_(seed) {}

  Bytes next() {
    Bytes bytes;
    const unsigned packets = pick(4);
    if (packets == 0) {
      for (unsigned i = pick(120); i > 0; --i) bytes.push_back(byte());
    }
    for (unsigned i = 0; i < packets; ++i) {
      const Bytes packet = valid();
      bytes.insert(bytes.end(), packet.begin(), packet.end());
    }
    for (unsigned i = pick(5); i > 0 && !bytes.empty(); --i) mutate(bytes);
    return bytes;
  }

 private:
  unsigned pick(unsigned count) { return static_cast<unsigned>(random_() % count); }
  std::uint8_t byte() {
    const std::uint8_t common[] = {0xFF, 0xFF, 0xFD, 0x00, 200, 0xFE, 0x55};
    return pick(3) == 0 ? common[pick(7)] : static_cast<std::uint8_t>(pick(256));
  }
  std::uint8_t id() { return pick(2) == 0 ? 200 : (pick(2) == 0 ? 0xFE : static_cast<std::uint8_t>(pick(12))); }

  Bytes valid() {
    const Instruction all[] = {Instruction::kPing,     Instruction::kRead,         Instruction::kWrite,
                               Instruction::kRegWrite, Instruction::kAction,       Instruction::kFactoryReset,
                               Instruction::kReboot,   Instruction::kStatus,       Instruction::kSyncRead,
                               Instruction::kSyncWrite, Instruction::kFastSyncRead, Instruction::kBulkRead,
                               Instruction::kBulkWrite, Instruction::kFastBulkRead};
    Bytes parameters;
    Instruction inst = all[pick(14)];
    std::uint8_t to = id();
    if (pick(4) == 0) {  // a chain that the board is in, with the answers of the others
      Bytes list;
      std::vector<wire::Block> others;
      const unsigned before = pick(4);
      for (unsigned i = 0; i <= before; ++i) {
        const bool own = i == before;
        const std::uint8_t size = static_cast<std::uint8_t>(own ? 34 : pick(12));
        const std::uint8_t device = own ? 200 : static_cast<std::uint8_t>(i + 1);
        list.insert(list.end(), {device, static_cast<std::uint8_t>(128), 0, size, 0});
        if (!own) others.push_back({0, device, Bytes(size, byte())});
      }
      const bool fast = pick(2) == 0;
      Bytes bytes = wire::instruction(0xFE, fast ? Instruction::kFastBulkRead : Instruction::kBulkRead, list);
      if (fast) {
        Bytes answer = wire::fast_status(others);
        if (!others.empty()) {  // LEN is of the whole answer, with the board's block
          others.push_back({0, 200, Bytes(34)});
          answer = wire::fast_status(others);
          answer.resize(answer.size() - 38);
          bytes.insert(bytes.end(), answer.begin(), answer.end());
        }
      } else {
        for (const wire::Block& block : others) {
          const Bytes answer = wire::status(block.id, 0, block.data);
          bytes.insert(bytes.end(), answer.begin(), answer.end());
        }
      }
      return bytes;
    }
    if (pick(3) == 0) {
      for (unsigned i = pick(40); i > 0; --i) parameters.push_back(byte());
    } else {
      const std::uint8_t address = static_cast<std::uint8_t>(pick(2) == 0 ? pick(12) : 60 + pick(105));
      parameters = {address, 0, static_cast<std::uint8_t>(pick(40)), 0};
      for (unsigned i = pick(6); i > 0; --i) parameters.push_back(id());
    }
    return wire::packet(to, [&] {
      Bytes body = parameters;
      body.insert(body.begin(), static_cast<std::uint8_t>(inst));
      return body;
    }(), pick(8) != 0);
  }

  void mutate(Bytes& bytes) {
    const unsigned at = pick(static_cast<unsigned>(bytes.size()));
    const auto where = bytes.begin() + static_cast<std::ptrdiff_t>(at);
    switch (pick(6)) {
      case 0:
        bytes[at] = static_cast<std::uint8_t>(bytes[at] ^ (1u << pick(8)));
        break;
      case 1:
        bytes[at] = byte();
        break;
      case 2:
        bytes.insert(where, byte());
        break;
      case 3:
        bytes.erase(where);
        break;
      case 4:
        bytes.resize(at);
        break;
      default: {
        const Bytes copy(where, bytes.end());
        bytes.insert(bytes.begin(), copy.begin(), copy.end());
        if (bytes.size() > 3000) bytes.resize(3000);
      }
    }
  }

  std::minstd_rand random_;
};

}  // namespace

int main(int argc, char** argv) {
  const unsigned long count = argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 1000000;
  const unsigned seed = argc > 2 ? static_cast<unsigned>(std::strtoul(argv[2], nullptr, 10)) : 1;
  Strings strings(seed);
  for (unsigned long i = 0; i < count; ++i) {
    const Bytes bytes = strings.next();
    check_string(bytes.data(), bytes.size());
  }
  std::printf("%lu strings, %zu packets accepted, %zu answers, %zu of them blocks of a fast answer\n", count,
              figures.accepted, figures.answers, figures.blocks);
  return 0;
}
#endif
