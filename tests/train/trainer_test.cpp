#include "train/trainer.h"

#include <cmath>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <unistd.h>

#include "base/file.h"
#include "base/random.h"
#include "checkpoint/init.h"
#include "tests/fuzz/run_config_checks.h"
#include "tests/train/random_model.h"
#include "train/shard.h"
#include "zaya/error.h"

namespace zaya::train {
namespace {

namespace fs = std::filesystem;

std::string message_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

class TrainerTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / ("zaya-trainer-" + std::to_string(::getpid()));
    fs::remove_all(folder_);
    fs::create_directories(folder_ / "data");
    ModelConfig model = small_config(true);
    model.eos = {1};
    init_checkpoint(model, folder_ / "model", {.seed = 3, .dtype = DType::f32, .text_from = {}});
    write_shard(folder_ / "data/0.tokens", counting_examples(300, 29), {});
  }
  void TearDown() override { fs::remove_all(folder_); }

  Json json(const std::string& out, std::uint64_t steps) const {
    return {{"model", "model"},
            {"out", out},
            {"steps", steps},
            {"data", {{{"path", "data"}}}},
            {"context", 32},
            {"batch_rows", 128},
            {"accumulate", 2},
            {"optimizer", {{"rate", 0.01}, {"warmup", 5}}},
            {"evaluation", {{"data", {{{"path", "data"}}}}, {"every", 10}, {"rows", 256}}},
            {"checkpoints", {{"every", 10}, {"dtype", "bf16"}}}};
  }
  RunConfig config(const Json& json) const { return parse_run_config(json, "test", folder_); }

  Trainer trainer(const RunConfig& config) {
    return Trainer(config, kernels_of(selected_isa()), pool_);
  }

  fs::path folder_;
  ThreadPool pool_{2};
};

TEST_F(TrainerTest, LearnsAndLogs) {
  RunConfig c = config(json("a", 60));
  Trainer t = trainer(c);
  std::vector<StepReport> reports;
  EXPECT_TRUE(t.run([&](const StepReport& r) {
    reports.push_back(r);
    return true;
  }));
  ASSERT_EQ(reports.size(), 60U);
  EXPECT_NEAR(reports[0].loss, std::log(29.0), 0.3);
  EXPECT_LT(reports[59].loss, 0.5 * reports[0].loss);
  ASSERT_TRUE(reports[59].evaluation);
  EXPECT_NEAR(*reports[59].evaluation, reports[59].loss, 0.3);
  EXPECT_FALSE(reports[57].evaluation);
  EXPECT_EQ(reports[9].load_entropy.size(), 3U);

  std::string line;
  std::size_t lines = 0;
  std::ifstream log(folder_ / "a/log.jsonl");
  while (std::getline(log, line)) {
    const Json json = parse_json(line, "log");
    EXPECT_EQ(json["step"], lines + 1);
    EXPECT_EQ(json["loss"], reports[lines].loss);
    ++lines;
  }
  EXPECT_EQ(lines, 60U);

  // The newest two checkpoints; the last one is the model that was trained.
  EXPECT_FALSE(fs::exists(folder_ / "a/step-00000040"));
  EXPECT_TRUE(fs::exists(folder_ / "a/step-00000050"));
  const Checkpoint saved = Checkpoint::open(folder_ / "a/step-00000060");
  Model<float> loaded(saved.config(), {}, kernels_of(selected_isa()), GemmKind::f32, pool_);
  loaded.load(saved);
  for (const TensorInfo& info : loaded.layout()) {
    for (std::size_t i = info.offset; i < info.offset + info.elements; ++i) {
      const float want = t.model().parameters()[i];
      ASSERT_EQ(loaded.parameters()[i], info.balancing() ? want : to_float(to_bf16(want)));
    }
  }
}

TEST_F(TrainerTest, GoesOnToTheBit) {
  const auto losses = [&](const std::string& out, std::uint64_t stop) {
    std::vector<double> all;
    RunConfig c = config(json(out, 30));
    Trainer t = trainer(c);
    t.run([&](const StepReport& r) {
      all.push_back(r.loss);
      all.push_back(r.norm);
      return r.step != stop;
    });
    return all;
  };
  const std::vector<double> whole = losses("whole", 0);
  std::vector<double> parts;
  for (const std::uint64_t stop : {7, 8, 20, 0}) {
    const auto part = losses("parts", stop);
    parts.insert(parts.end(), part.begin(), part.end());
  }
  EXPECT_EQ(parts, whole);
  // As after a kill: from the last checkpoint, with lines in the log that are ahead of it.
  fs::remove_all(folder_ / "parts/step-00000030");
  fs::create_directories(folder_ / "parts/.step-00000030.part/.1.part");
  std::ofstream(folder_ / "parts/log.jsonl", std::ios::app) << "{\"step\": 31, \"lo";
  const std::vector<double> again = losses("parts", 0);
  EXPECT_EQ(again, std::vector<double>(whole.end() - static_cast<long>(again.size()), whole.end()));
  EXPECT_EQ(again.size(), 20U);
  const auto strip = [](std::string log) {
    std::string out;
    std::istringstream lines(log);
    for (std::string line; std::getline(lines, line);) {
      Json json = parse_json(line, "log");
      json.erase("seconds");
      out += json.dump() + "\n";
    }
    return out;
  };
  EXPECT_EQ(strip(read_file(folder_ / "parts/log.jsonl")),
            strip(read_file(folder_ / "whole/log.jsonl")));
  EXPECT_EQ(read_file(folder_ / "parts/step-00000030/model.safetensors"),
            read_file(folder_ / "whole/step-00000030/model.safetensors"));
}

TEST_F(TrainerTest, BalancingEvensLoads) {
  const auto entropy = [&](const Json& balancing) {
    Json j = json("b" + balancing.dump(), 1);
    j["balancing"] = balancing;
    j["evaluation"] = nullptr;
    j["optimizer"]["rate"] = 1e-3;
    RunConfig c = config(j);
    Trainer t = trainer(c);
    // Routers that tell tokens apart, but favour one expert from the start.
    randomize(t.model(), 5);
    for (auto& layer : t.model().tensors().layers) {
      layer.balancing[0] = 0.5F;
      layer.balancing[3] = -1;
    }
    double sum = 0;
    for (int i = 0; i < 60; ++i) {
      const StepReport r = t.train_step();
      if (i >= 50) sum += r.load_entropy[0] / 10;
    }
    return sum;
  };
  const double none = entropy({{"kind", "none"}});
  EXPECT_LT(none, 0.5);
  EXPECT_GT(entropy({{"kind", "controller"}, {"rate", 0.02}}), none + 0.3);
  EXPECT_GT(entropy({{"kind", "sign"}, {"rate", 0.02}}), none + 0.3);
}

TEST_F(TrainerTest, LongerContextIsAskedFor) {
  Json j = json("c", 1);
  j["context"] = 100;
  j["batch_rows"] = 100;
  EXPECT_NE(message_of([&] { trainer(config(j)); }).find("max_positions"), std::string::npos);
  j["max_positions"] = 128;
  j["rope_theta"] = 12345.0;
  RunConfig c = config(j);
  trainer(c).run([](const StepReport&) { return true; });
  const ConfigFile written = read_config(folder_ / "c/step-00000001");
  EXPECT_EQ(written.model.max_positions, 128U);
  EXPECT_EQ(written.model.rope.theta, 12345.0);
}

TEST_F(TrainerTest, DivergenceIsAnErrorAndSavesNothing) {
  Json j = json("d", 200);
  j["optimizer"] = {{"rate", 1e5}, {"clip", 0}, {"kind", "adamw"}};
  j["checkpoints"] = {{"every", 0}};
  RunConfig c = config(j);
  Trainer t = trainer(c);
  EXPECT_NE(message_of([&] { t.run([](const StepReport&) { return true; }); }).find("finite"),
            std::string::npos);
  EXPECT_FALSE(latest_run(c.out));
}

TEST_F(TrainerTest, ACheckpointOfAnotherRunIsRefused) {
  RunConfig c = config(json("e", 1));
  trainer(c).run([](const StepReport&) { return true; });
  Json j = json("e", 2);
  j["optimizer"]["kind"] = "adamw";
  EXPECT_NE(message_of([&] { trainer(config(j)); }).find("second_moments"), std::string::npos);
  j = json("e", 2);
  j["data"].push_back({{"path", "data"}});
  EXPECT_NE(message_of([&] { trainer(config(j)); }).find("has changed"), std::string::npos);
}

TEST_F(TrainerTest, WrongConfigsNameTheKey) {
  const auto message = [&](const std::function<void(Json&)>& change) {
    Json j = json("x", 5);
    change(j);
    return message_of([&] { config(j); });
  };
  EXPECT_EQ(message([](Json&) {}), "");
  const auto names = [](const std::string& text, const char* part) {
    EXPECT_NE(text.find(part), std::string::npos) << text;
  };
  names(message([](Json& j) { j.erase("steps"); }), "steps");
  names(message([](Json& j) { j["stepz"] = 1; }), "stepz");
  names(message([](Json& j) { j["optimizer"]["lr"] = 1; }), "lr");
  names(message([](Json& j) { j["optimizer"]["kind"] = "sgd"; }), "\"muon\", \"adamw\"");
  names(message([](Json& j) { j["optimizer"]["rate"] = -1; }), "rate");
  names(message([](Json& j) { j["optimizer"]["beta2"] = 1; }), "beta2");
  names(message([](Json& j) { j["data"] = Json::array(); }), "data");
  names(message([](Json& j) { j["data"][0]["weight"] = 0; }), "weight");
  names(message([](Json& j) { j["batch_rows"] = 31; }), "batch_rows");
  names(message([](Json& j) { j["precision"] = "fp8"; }), "precision");
  names(message([](Json& j) { j["model"] = "gone"; }), "gone");
  names(message([](Json& j) { j["checkpoints"]["keep"] = 0; }), "keep");
}

TEST(FuzzCorpus, RunConfig) {
  int files = 0;
  for (const auto& entry :
       fs::directory_iterator(ZAYA_SOURCE_DIR "/tests/fuzz/corpus/run_config")) {
    check_run_config(read_file(entry.path()));
    ++files;
  }
  EXPECT_EQ(files, 13);
}

}  // namespace
}  // namespace zaya::train
