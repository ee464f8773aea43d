// The smallest test frame that says where and what failed.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace check {

struct Test {
  std::string name;
  std::function<void()> body;
};

inline std::vector<Test>& tests() {
  static std::vector<Test> all;
  return all;
}

inline int& failures() {
  static int count = 0;
  return count;
}

struct Register {
  Register(std::string name, std::function<void()> body) { tests().push_back({std::move(name), std::move(body)}); }
};

template <typename A, typename B>
void equal(const A& found, const B& expected, const char* text, const char* file, int line) {
  if (found == expected) return;
  ++failures();
  std::printf("%s:%d: %s: not equal\n", file, line, text);
}

inline int run() {
  int failed = 0;
  for (const Test& test : tests()) {
    const int before = failures();
    test.body();
    if (failures() != before) {
      ++failed;
      std::printf("FAILED %s\n", test.name.c_str());
    }
  }
  std::printf("%zu tests, %d failed\n", tests().size(), failed);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

}  // namespace check

#define TEST(name)                                               \
  static void name();                                            \
  static const check::Register register_##name(#name, name);     \
  static void name()
#define EQUAL(found, expected) check::equal(found, expected, #found " == " #expected, __FILE__, __LINE__)
#define TRUE(condition) check::equal(static_cast<bool>(condition), true, #condition, __FILE__, __LINE__)
