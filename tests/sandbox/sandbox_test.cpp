// Programs that attack. Each test would fail if the protection it is named for were missing; where
// a limit protects, the same program passes under a wider one.
#include "sandbox/sandbox.h"

#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <future>
#include <string>
#include <thread>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "sandbox/watch.h"
#include "zaya/error.h"

namespace zaya::sandbox {
namespace {

const Sandbox& sandbox() {
  static const Sandbox box;
  return box;
}

Outcome python(const std::string& text, const Limits& limits = {}, const std::string& input = {}) {
  return sandbox().run(
      {.command = {"python3", "/program/main.py"}, .files = {{"main.py", text}}, .input = input},
      limits);
}

std::string printed(const std::string& text, const Limits& limits = {}) {
  const Outcome o = python(text, limits);
  EXPECT_TRUE(o.succeeded()) << end_name(o.end) << " " << o.exit_code << " " << o.errors;
  return o.output;
}

// Whether any Python of this machine was started with this word.
bool runs(const std::string& word) {
  std::error_code gone;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", gone)) {
    std::ifstream file(entry.path() / "cmdline", std::ios::binary);
    const std::string line((std::istreambuf_iterator<char>(file)), {});
    if (line.starts_with("python3") && line.find(word) != std::string::npos) return true;
  }
  return false;
}

// Where programs cannot be isolated there is nothing to attack; ./test says that these were
// skipped.
class SandboxTest : public testing::Test {
 protected:
  void SetUp() override {
    try {
      sandbox();
    } catch (const Error& e) {
      GTEST_SKIP() << e.what();
    }
  }
};

TEST_F(SandboxTest, RunsAProgram) {
  const Outcome o = python(
      "import sys\nprint(sum(map(int, sys.stdin.read().split())))\n"
      "print('note', file=sys.stderr)",
      {}, "20\n22\n");
  EXPECT_TRUE(o.succeeded()) << o.errors;
  EXPECT_EQ(o.output, "42\n");
  EXPECT_EQ(o.errors, "note\n");
  EXPECT_EQ(python("raise SystemExit(3)").exit_code, 3);
  const Outcome killed = python("import os\nos.kill(os.getpid(), 11)");
  EXPECT_EQ(killed.end, End::signalled);
  EXPECT_EQ(killed.exit_code, SIGSEGV);
  EXPECT_EQ(sandbox().run({.command = {"no-such-program"}}).succeeded(), false);
}

TEST_F(SandboxTest, HandsOverLargeInputsAndOutputsWhole) {
  std::string input;
  for (int i = 0; i < 400'000; ++i) input += fmt::format("{} ", i);
  const Outcome o = python("import sys\nsys.stdout.write(sys.stdin.read())", {}, input);
  EXPECT_TRUE(o.succeeded());
  EXPECT_EQ(o.output, input);
}

TEST_F(SandboxTest, RunsSideBySide) {
  std::vector<std::future<std::string>> all;
  for (int i = 0; i < 8; ++i) {
    all.push_back(std::async(std::launch::async, [i] {
      return python(fmt::format("open('/scratch/x', 'x').write('{0}')\n"
                                "print(open('/scratch/x').read())",
                                i))
          .output;
    }));
  }
  for (int i = 0; i < 8; ++i) EXPECT_EQ(all[i].get(), fmt::format("{}\n", i));
}

TEST_F(SandboxTest, HoldsAForkBomb) {
  const std::string bomb =
      "import os, time\n"
      "made = 0\n"
      "try:\n"
      "  while made < 200:\n"
      "    if os.fork() == 0:\n"
      "      time.sleep(30)\n"
      "      os._exit(0)\n"
      "    made += 1\n"
      "except OSError:\n"
      "  pass\n"
      "print(made)";
  const int made = std::stoi(printed(bomb, {.processes = 10}));
  EXPECT_GT(made, 3);
  EXPECT_LT(made, 10);
  EXPECT_GT(std::stoi(printed(bomb, {.memory = 4ULL << 30, .processes = 100})), 50);
  // Those that come multiply: 128 at most.
  const Outcome o = python(
      "import os, time\n"
      "for i in range(7):\n"
      "  try: os.fork()\n"
      "  except OSError: pass\n"
      "time.sleep(20)",
      {.wall_seconds = 1, .processes = 10});
  EXPECT_EQ(o.end, End::wall_time);
  EXPECT_LT(o.seconds, 15);
}

TEST_F(SandboxTest, HoldsAMemoryBomb) {
  const std::string bomb = "x = bytearray(600 << 20)\nprint(len(x) >> 20)";
  EXPECT_EQ(printed(bomb), "600\n");
  const Outcome o = python(bomb, {.memory = 300 << 20});
  EXPECT_EQ(o.exit_code, 1);
  EXPECT_NE(o.errors.find("MemoryError"), std::string::npos) << o.errors;
}

TEST_F(SandboxTest, HoldsAMemoryBombOfManyProcesses) {
  // Each stays below what one may have.
  const std::string bomb =
      "import os, time\n"
      "for i in range(8):\n"
      "  if os.fork() == 0:\n"
      "    x = bytearray(b'1') * (100 << 20)\n"
      "    time.sleep(30)\n"
      "    os._exit(0)\n"
      "time.sleep(2)";
  EXPECT_EQ(python(bomb, {.memory = 300 << 20}).end, End::memory);
  EXPECT_EQ(python(bomb, {.memory = 2000ULL << 20}).end, End::exited);
}

TEST_F(SandboxTest, GivesNoMemoryThatNobodyCounts) {
  EXPECT_EQ(printed("import os\n"
                    "try: os.memfd_create('x')\n"
                    "except OSError as e: print(e.strerror)"),
            "Operation not permitted\n");
  EXPECT_EQ(printed("import os\n"
                    "for f in ['/dev/shm/x', '/dev/x', '/x', '/tmp/x', '/program/x', '/usr/x']:\n"
                    "  try: open(f, 'w'); print('wrote', f)\n"
                    "  except OSError: pass\n"
                    "open('/scratch/x', 'w'); print('scratch')"),
            "scratch\n");
}

TEST_F(SandboxTest, EndsTooMuchOutput) {
  const std::string flood = "import sys\nfor i in range(1000): sys.{}.write('x' * 65536)";
  for (const char* stream : {"stdout", "stderr"}) {
    const Outcome o = python(fmt::format(fmt::runtime(flood), stream), {.output = 3 << 20});
    EXPECT_EQ(o.end, End::output);
    EXPECT_LE(o.output.size(), 3U << 20);
    EXPECT_LE(o.errors.size(), 16U << 10);
  }
  EXPECT_EQ(printed("print('x' * (2 << 20))", {.output = 3 << 20}).size(), (2U << 20) + 1);
}

TEST_F(SandboxTest, EndsLongLoops) {
  const std::string loop = "import time\nwhile time.process_time() < 20: pass\n";
  EXPECT_EQ(python(loop, {.cpu_seconds = 1, .wall_seconds = 120}).end, End::cpu_time);
  // One that does not listen to the signal of the limit.
  const Outcome deaf =
      python("import signal\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\n" + loop,
             {.cpu_seconds = 1, .wall_seconds = 120});
  EXPECT_EQ(deaf.end, End::signalled);
  EXPECT_EQ(deaf.exit_code, SIGKILL);
  const Outcome idle = python("import time\ntime.sleep(60)", {.wall_seconds = 1});
  EXPECT_EQ(idle.end, End::wall_time);
  EXPECT_LT(idle.seconds, 30);
}

TEST_F(SandboxTest, HasNoNetwork) {
  // A server of this machine, which every program outside could reach.
  const int server = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{
      .sin_family = AF_INET, .sin_port = 0, .sin_addr = {htonl(INADDR_LOOPBACK)}, .sin_zero = {}};
  ASSERT_EQ(::bind(server, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  ASSERT_EQ(::listen(server, 4), 0);
  socklen_t length = sizeof(address);
  ::getsockname(server, reinterpret_cast<sockaddr*>(&address), &length);
  const int port = ntohs(address.sin_port);
  const std::string reach = fmt::format(
      "import socket\n"
      "for to in [('127.0.0.1', {}), ('192.0.2.1', 80)]:\n"
      "  try: socket.create_connection(to, 2); print('connected')\n"
      "  except OSError: print('no')\n",
      port);
  EXPECT_EQ(printed(reach), "no\nno\n");
  ::close(server);
}

TEST_F(SandboxTest, ShowsNoFilesOfTheMachine) {
  const auto secret = std::filesystem::path(testing::TempDir()) / "zaya-sandbox-secret";
  write_file(secret, "secret");
  EXPECT_EQ(printed(fmt::format(
                "import os\n"
                "for f in ['/etc/passwd', '/etc/shadow', '/root', '/home', '/proc', '/sys', '/var',"
                " '/tmp', '/dev/sda', '{}', '{}', '/work', os.path.expanduser('~root')]:\n"
                "  if os.path.lexists(f): print(f)\n"
                "print(sorted(os.listdir('/dev')), os.listdir('/scratch'), os.environ.get('HOME'),"
                " sorted(set(os.environ) - {{'PWD', 'LC_CTYPE'}}), os.getuid() != 0)",
                secret.string(), ZAYA_SOURCE_DIR)),
            "['null'] [] /scratch ['HOME', 'LANG', 'PATH', 'TMPDIR'] True\n");
  std::filesystem::remove(secret);
}

TEST_F(SandboxTest, WritesNothingOutside) {
  // Which anybody may change, outside.
  const auto target = std::filesystem::path(testing::TempDir()) / "zaya-sandbox-target";
  write_file(target, "untouched");
  std::filesystem::permissions(target, std::filesystem::perms::all);
  EXPECT_EQ(printed(fmt::format("import os\n"
                                "for f in ['/usr/zaya-x', '/zaya-x', '/program/x', "
                                "'/program/main.py', '/dev/x', '/tmp/zaya-x', '../zaya-x', '{}', "
                                "'/scratch/../zaya-x']:\n"
                                "  try: open(f, 'a').write('x'); print('wrote', f)\n"
                                "  except OSError: pass\n"
                                "try: os.remove('/program/main.py'); print('removed')\n"
                                "except OSError: pass\n"
                                "open('x', 'w').write('mine'); print(open('/scratch/x').read())",
                                target.string())),
            "mine\n");
  EXPECT_EQ(read_file(target), "untouched");
  std::filesystem::remove(target);
}

TEST_F(SandboxTest, FollowsNoLinksOut) {
  EXPECT_EQ(printed("import os\n"
                    "for i, to in enumerate(['/etc/passwd', '/../../etc/passwd', '/proc/1/root', "
                    "'/proc/self/cwd', '../../../..//root']):\n"
                    "  os.symlink(to, f'l{i}')\n"
                    "  try: open(f'l{i}').read(); print('read', to)\n"
                    "  except OSError: pass\n"
                    "os.symlink('/usr/lib', 'usr')\n"
                    "try: open('usr/x', 'w'); print('wrote')\n"
                    "except OSError: pass\n"
                    "try: os.link('/usr/bin/python3', 'hard'); print('linked')\n"
                    "except OSError: pass\n"
                    "try: os.chroot('/scratch'); print('chroot')\n"
                    "except OSError: pass\n"),
            "");
}

TEST_F(SandboxTest, InheritsNoOpenFiles) {
  // Not close-on-exec, as those of the standard library are.
  const std::ofstream journal(std::filesystem::path(testing::TempDir()) / "zaya-sandbox-journal");
  EXPECT_EQ(printed("import os\n"
                    "for i in range(3, 1024):\n"
                    "  try: os.fstat(i); print(i)\n"
                    "  except OSError: pass"),
            "");
}

TEST_F(SandboxTest, CannotKillOthers) {
  // One whose user is the program's, when this runs as root: only the namespace protects it.
  const pid_t victim = ::fork();
  if (victim == 0) {
    if (::geteuid() == 0 && ::setresuid(65534, 65534, 65534) != 0) ::_exit(1);
    ::sleep(60);
    ::_exit(0);
  }
  EXPECT_EQ(printed(fmt::format("import os, signal\n"
                                "for p in [{}, 1]:\n"
                                "  try: os.kill(p, signal.SIGKILL)\n"
                                "  except OSError: pass\n"
                                "print('alive', os.getpid() < 20)",
                                victim)),
            "alive True\n");
  EXPECT_EQ(::waitpid(victim, nullptr, WNOHANG), 0) << "it was killed";
  ::kill(victim, SIGKILL);
  ::waitpid(victim, nullptr, 0);
  // What it kills of its own sandbox ends that.
  EXPECT_EQ(
      python("import os, time\nif os.getpid() < 20: os.kill(os.getppid(), 9)\ntime.sleep(5)").end,
      End::signalled);
  // All there are, but only where these are its own.
  const Outcome o = python(
      "import os, signal, time\n"
      "if os.fork() == 0 and os.getppid() < 20:\n"
      "  os.setsid()\n"
      "  os.kill(-1, signal.SIGKILL)\n"
      "time.sleep(5)");
  EXPECT_EQ(o.end, End::signalled);
  EXPECT_TRUE(sandbox().run({.command = {"true"}}).succeeded());
}

TEST_F(SandboxTest, LeavesNothingBehind) {
  const std::string word = fmt::format("zaya-left-behind-{}", ::getpid());
  const std::string text = fmt::format(
      "import os, subprocess, sys, time\n"
      "subprocess.Popen(['sleep', '300'], stdout=2, start_new_session=True)\n"
      "if os.fork() == 0:\n"
      "  os.setsid()\n"
      "  if os.fork() == 0:\n"
      "    os.execvp('python3', ['python3', '-c', 'import time; time.sleep(300)', '{}'])\n"
      "  os._exit(0)\n"
      "time.sleep(0.5)\n"
      "print('done')",
      word);
  std::future<Outcome> running = std::async(std::launch::async, [&] { return python(text); });
  bool seen = false;
  while (running.wait_for(std::chrono::milliseconds(20)) != std::future_status::ready) {
    seen = seen || runs(word);
  }
  const Outcome o = running.get();
  EXPECT_TRUE(o.succeeded()) << o.errors;
  EXPECT_EQ(o.output, "done\n");
  EXPECT_TRUE(seen) << "the test looks for nothing";
  EXPECT_FALSE(runs(word));
  EXPECT_LT(o.seconds, 60);
}

TEST_F(SandboxTest, DiesWithItsProcess) {
  const std::string word = fmt::format("zaya-orphan-{}", ::getpid());
  sandbox();
  const pid_t child = ::fork();
  if (child == 0) {
    sandbox().run({.command = {"python3", "-c", "import time; time.sleep(60)", word}},
                  {.wall_seconds = 300});
    ::_exit(0);
  }
  const auto wait_until = [&](bool wanted) {
    for (int i = 0; i < 400 && runs(word) != wanted; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(25));
    }
    return runs(word);
  };
  EXPECT_TRUE(wait_until(true));
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  EXPECT_FALSE(wait_until(false));
}

TEST_F(SandboxTest, BoundsTheScratchDisk) {
  const std::string fill =
      "n = 0\n"
      "try:\n"
      "  for i in range(40):\n"
      "    with open(f'f{i}', 'wb') as f: f.write(b'x' * (1 << 20))\n"
      "    n += 1\n"
      "except OSError as e: print(e.strerror)\n"
      "print(n)";
  EXPECT_EQ(printed(fill), "40\n");
  EXPECT_EQ(printed(fill, {.scratch = 10 << 20}), "No space left on device\n10\n");
  // One file may be as large as all of them.
  EXPECT_EQ(python("open('x', 'wb').write(b'x' * (20 << 20))", {.scratch = 10 << 20}).succeeded(),
            false);
}

TEST_F(SandboxTest, BoundsTheNumberOfFiles) {
  const std::string many =
      "import time\n"
      "for i in range(20000): open(f'f{i}', 'w').close()\n"
      "time.sleep(1)";
  EXPECT_EQ(python(many, {.scratch_files = 500}).end, End::files);
  EXPECT_EQ(python(many, {.scratch_files = 50'000}).end, End::exited);
  EXPECT_EQ(printed("files = []\n"
                    "try:\n"
                    "  while True: files.append(open('/dev/null'))\n"
                    "except OSError as e: print(e.strerror, len(files) < 40)",
                    {.open_files = 40}),
            "Too many open files True\n");
}

TEST_F(SandboxTest, MakesNoNamespacesOfItsOwn) {
  EXPECT_EQ(printed("import ctypes, os\n"
                    "libc = ctypes.CDLL(None, use_errno=True)\n"
                    "print(libc.unshare(0x10000000), os.strerror(ctypes.get_errno()))\n"
                    "print(libc.syscall(56, 0x10000000 | 17, 0, 0, 0, 0), ctypes.get_errno())\n"
                    "print(libc.mount(b'none', b'/scratch', b'tmpfs', 0, None))\n"
                    "print(libc.ptrace(16, 1, 0, 0))\n"),
            "-1 Operation not permitted\n-1 1\n-1\n-1\n");
}

TEST(SandboxWatch, CountsATree) {
  const TreeUse before = use_of_tree(::getpid());
  EXPECT_GT(before.memory, 1U << 20);
  const std::string large(200 << 20, 'x');
  std::vector<pid_t> children;
  for (int i = 0; i < 3; ++i) {
    children.push_back(::fork());
    if (children.back() == 0) {
      ::sleep(30);
      ::_exit(0);
    }
  }
  const TreeUse after = use_of_tree(::getpid());
  EXPECT_GT(after.memory, before.memory + (190U << 20)) << large.size();
  EXPECT_EQ(after.processes, before.processes + 3);
  for (const pid_t child : children) {
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
  }
}

TEST(SandboxRefusal, IsAnErrorWhereNothingIsolates) {
  const pid_t child = ::fork();
  if (child == 0) {
    int code = 2;
    // Without the right to make namespaces in the first place, there is nothing to take away.
    if (::unshare(CLONE_NEWUSER) == 0) {
      std::ofstream("/proc/sys/user/max_user_namespaces") << "0";
    }
    try {
      const Sandbox box;
    } catch (const Error& e) {
      const std::string text = e.what();
      code = text.find("cannot be isolated") != std::string::npos &&
                     text.find("namespace") != std::string::npos
                 ? 0
                 : 1;
    }
    ::_exit(code);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0) << "2: programs would run";
}

}  // namespace
}  // namespace zaya::sandbox
