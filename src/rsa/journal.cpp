#include "rsa/journal.h"

#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/file.h"
#include "rsa/result_json.h"
#include "zaya/error.h"

namespace zaya::rsa {
namespace {

constexpr int kVersion = 1;
constexpr std::uint64_t kMostBytes = std::uint64_t{8} << 30;

[[noreturn]] void fail(const std::filesystem::path& file, const char* what) {
  throw Error({.where = file.string(), .what = fmt::format("{}: {}", what, std::strerror(errno))});
}

// Two processes that write to one journal would mix two runs.
void take(const std::filesystem::path& file, int fd) {
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    ::close(fd);
    throw Error({.where = file.string(), .what = "another process writes to this journal"});
  }
}

}  // namespace

Journal::Journal(Journal&& other) noexcept
    : file_(std::move(other.file_)),
      fd_(std::exchange(other.fd_, -1)),
      head_(std::move(other.head_)),
      known_(std::move(other.known_)) {}

Journal::~Journal() {
  if (fd_ >= 0) ::close(fd_);
}

Journal Journal::create(const std::filesystem::path& file, const Json& head) {
  const int fd = ::open(file.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0644);
  if (fd < 0) {
    if (errno == EEXIST) {
      throw Error(
          {.where = file.string(), .what = "there is such a file; --resume goes on with it"});
    }
    fail(file, "cannot make the journal");
  }
  take(file, fd);
  Journal journal(file, fd);
  journal.head_ = head;
  journal.append({{"zaya_journal", kVersion}, {"run", head}});
  return journal;
}

Journal Journal::resume(const std::filesystem::path& file) {
  const int fd = ::open(file.c_str(), O_RDWR | O_APPEND | O_CLOEXEC);
  if (fd < 0) fail(file, "cannot open the journal");
  take(file, fd);
  Journal journal(file, fd);
  const std::string text = read_file(file, kMostBytes);
  std::size_t line = 0;
  std::size_t at = 0;
  for (std::size_t end; (end = text.find('\n', at)) != std::string::npos; at = end + 1) {
    const std::string where = fmt::format("{}: line {}", file.string(), ++line);
    const Json json = parse_json(std::string_view(text).substr(at, end - at), where);
    const JsonView view(json, where);
    if (line == 1) {
      if (!view.has("zaya_journal") || view.integer("zaya_journal", 0, 1 << 30) != kVersion) {
        throw Error({.where = where, .what = "not a journal of this version"});
      }
      journal.head_ = view.object("run").json();
      continue;
    }
    const auto index = [&](const char* key) {
      return static_cast<std::size_t>(view.integer(key, 0, std::int64_t{1} << 32));
    };
    journal.known_[index("problem")][{index("stage"), index("candidate")}] =
        output_from_json(view.at("output"), where);
  }
  if (line == 0) throw Error({.where = file.string(), .what = "the journal has no first line"});
  if (at < text.size() && ::ftruncate(fd, static_cast<off_t>(at)) != 0) {
    fail(file, "cannot cut off the journal's torn end");
  }
  return journal;
}

void Journal::add(const Event& event) {
  if (event.kind != Event::Kind::finished) return;
  const Output& output = event.candidate->output;
  if (output.failed() || output.finish == FinishReason::cancelled) return;
  const auto of = known_.find(event.problem);
  if (of != known_.end() && of->second.contains({event.stage, event.slot})) return;
  append({{"problem", event.problem},
          {"stage", event.stage},
          {"candidate", event.slot},
          {"output", output_json(output)}});
}

void Journal::append(const Json& json) const {
  const std::string line = json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  for (std::size_t done = 0; done < line.size();) {
    const ssize_t n = ::write(fd_, line.data() + done, line.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) fail(file_, "cannot write to the journal");
    done += static_cast<std::size_t>(n);
  }
  if (::fdatasync(fd_) != 0 && errno != EINVAL) fail(file_, "cannot write to the journal");
}

}  // namespace zaya::rsa
