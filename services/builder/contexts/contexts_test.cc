#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libs/archive/chunk_source.h"
#include "libs/archive/tar_entry.h"
#include "libs/archive/tar_reader.h"
#include "libs/oci/digest.h"
#include "libs/os/files.h"
#include "services/builder/contexts/archive_probe.h"
#include "services/builder/contexts/context_engine.h"
#include "services/builder/contexts/copy_selection.h"
#include "services/builder/contexts/selection_tar.h"
#include "services/builder/schema.h"

namespace darse::builder {
namespace {

using archive::EntryType;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::string Member(archive::TarEntry entry, absl::string_view content = "") {
  entry.size = static_cast<int64_t>(content.size());
  std::string bytes = absl::StrCat(archive::FormatHeader(entry), content);
  bytes.append(archive::Padding(entry.size), '\0');
  return bytes;
}
std::string File(absl::string_view name, absl::string_view content, uint32_t mode = 0644) {
  return Member({.name = std::string(name), .mode = mode}, content);
}
std::string Link(absl::string_view name, absl::string_view target) {
  return Member(
      {.type = EntryType::kSymlink, .name = std::string(name), .link_name = std::string(target)});
}
std::string Directory(absl::string_view name, uint32_t mode = 0755) {
  return Member({.type = EntryType::kDirectory, .name = absl::StrCat(name, "/"), .mode = mode});
}
std::string End() { return std::string(1024, '\0'); }

UniqueFd FileOf(absl::string_view bytes) {
  UniqueFd fd(memfd_create("context", MFD_CLOEXEC));
  EXPECT_TRUE(WriteFd(fd.get(), bytes).ok());
  return fd;
}

ContextFiles Index(absl::string_view tar) {
  absl::StatusOr<ContextFiles> files = IndexContext(FileOf(tar).get());
  EXPECT_TRUE(files.ok()) << files.status();
  return files.ok() ? *files : ContextFiles{};
}

std::vector<std::string> Targets(const ContextFiles& files, std::vector<std::string> sources) {
  absl::StatusOr<Selection> selection = Select(files, sources);
  if (!selection.ok()) return {std::string(selection.status().message())};
  std::vector<std::string> targets;
  for (const SelectedFile& one : selection->files) targets.push_back(one.target);
  return targets;
}

TEST(ContextFilesTest, KnowsWhereContentsLie) {
  std::string tar = File("a", "alpha") + File("d/e/b", std::string(300000, 'b')) + End();
  ContextFiles files = Index(tar);
  ASSERT_EQ(files.size(), 4u);
  EXPECT_EQ(tar.substr(files["a"].offset, 5), "alpha");
  EXPECT_EQ(tar.substr(files["d/e/b"].offset, 300000), std::string(300000, 'b'));
  EXPECT_EQ(files["a"].content, oci::Digest::Of("alpha").text());
  EXPECT_EQ(files["d/e"].type, FileType::kDirectory);
}

TEST(ContextFilesTest, RefusesWhatNoContextHolds) {
  EXPECT_FALSE(IndexContext(FileOf(File("../a", "x") + End()).get()).ok());
  EXPECT_FALSE(
      IndexContext(FileOf(Member({.type = EntryType::kFifo, .name = "p"}) + End()).get()).ok());
  EXPECT_FALSE(IndexContext(FileOf(File("a", std::string(2000, 'x')).substr(0, 1000)).get()).ok());
}

TEST(ContextFilesTest, SymlinksStayInside) {
  ContextFiles files = Index(File("d/f", "1") + Link("abs", "/d") + Link("out", "../../d/f") +
                             Link("c", "c") + End());
  EXPECT_EQ(*ResolvePath(files, "abs/f"), "d/f");
  EXPECT_EQ(*ResolvePath(files, "out"), "d/f");
  EXPECT_FALSE(ResolvePath(files, "c").ok());
  EXPECT_TRUE(absl::IsNotFound(ResolvePath(files, "d/none").status()));
}

TEST(CopySelectionTest, FilesDirectoriesAndPatterns) {
  ContextFiles files = Index(File("a.txt", "1") + File("b.txt", "2") + File("d/x", "3") +
                             File("d/sub/y", "4") + File("[id].js", "5") + Link("l", "d") + End());
  EXPECT_THAT(Targets(files, {"/a.txt"}), ElementsAre("a.txt"));
  EXPECT_THAT(Targets(files, {"/d"}), ElementsAre("sub", "sub/y", "x"));
  EXPECT_THAT(Targets(files, {"/l"}), ElementsAre("sub", "sub/y", "x"));
  EXPECT_THAT(Targets(files, {"/*.txt"}), ElementsAre("a.txt", "b.txt"));
  EXPECT_THAT(Targets(files, {"/[id].js"}), ElementsAre("[id].js"));
  EXPECT_THAT(Targets(files, {"/"}),
              ElementsAre("[id].js", "a.txt", "b.txt", "d", "d/sub", "d/sub/y", "d/x", "l"));
  EXPECT_THAT(Targets(files, {"/*.md"}),
              ElementsAre("\"*.md\" is not in the build context (or .dockerignore leaves it out)"));
}

TEST(CopySelectionTest, DigestIsOverNamesModesAndContentsButNotTimes) {
  auto digest = [](const std::string& tar) { return DigestOf(*Select(Index(tar), {"/"})); };
  std::string base = digest(File("a", "1") + End());
  EXPECT_EQ(digest(Member({.name = "a", .mtime_seconds = 77}, "1") + End()), base);
  EXPECT_NE(digest(File("a", "2") + End()), base);
  EXPECT_NE(digest(File("b", "1") + End()), base);
  EXPECT_NE(digest(File("a", "1", 0755) + End()), base);
  EXPECT_NE(digest(Link("a", "1") + End()), base);
}

// Names of a tar's members, and content where it is a file.
std::vector<std::string> Members(archive::ChunkSource& tar) {
  archive::TarReader reader(tar);
  std::vector<std::string> members;
  while (true) {
    auto entry = reader.Next();
    if (!entry.ok()) return {std::string(entry.status().message())};
    if (!*entry) return members;
    std::string content;
    while (true) {
      auto part = reader.ReadContent();
      if (!part.ok()) return {std::string(part.status().message())};
      if (part->empty()) break;
      absl::StrAppend(&content, *part);
    }
    members.push_back(absl::StrCat((*entry)->name, "=", content.size() > 9 ? "long" : content));
  }
}

TEST(SelectionTarTest, CarriesContentsAndLeavesOrdinaryDirectoriesOut) {
  UniqueFd fd = FileOf(File("d/x", "3") + File("d/big", std::string(900000, 'b')) +
                       Directory("private", 0700) + File("private/p", "4") + Directory("empty") +
                       File("d.x", "5") + End());
  Selection selection = *Select(*IndexContext(fd.get()), {"/"});
  SelectionTar few(selection, fd.get(), /*all_directories=*/false);
  EXPECT_THAT(Members(few),
              ElementsAre("d.x=5", "d/big=long", "d/x=3", "empty/=", "private/=", "private/p=4"));
  SelectionTar all(selection, fd.get(), /*all_directories=*/true);
  EXPECT_EQ(Members(all).size(), 7u);
}

TEST(ArchiveProbeTest, TellsArchivesFromFiles) {
  std::string inner = File("x", "1") + End();
  UniqueFd fd = FileOf(File("a.tar", inner) + File("zeros", End()) +
                       File("text",
                            "hello world, "
                            "this is more than twenty bytes") +
                       File("bad.gz", "\x1f\x8b\x08not gzip at all....") + End());
  ContextFiles files = *IndexContext(fd.get());
  EXPECT_TRUE(*IsArchive(files["a.tar"], fd.get()));
  EXPECT_FALSE(*IsArchive(files["zeros"], fd.get()));
  EXPECT_FALSE(*IsArchive(files["text"], fd.get()));
  EXPECT_FALSE(*IsArchive(files["bad.gz"], fd.get()));
}

class ContextEngineTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char path[] = "/tmp/context-test-XXXXXX";
    root_ = mkdtemp(path);
    Open();
  }
  void TearDown() override {
    engine_.reset();
    db_.reset();
    EXPECT_TRUE(RemoveTree(root_).ok());
  }
  void Open() {
    engine_.reset();
    db_.reset();
    db_ = *sqlite::Database::Open(root_ + "/builder.db", kMigrations);
    engine_ = std::make_unique<ContextEngine>(root_, *db_, clock_);
    ASSERT_TRUE(engine_->Recover().ok());
  }
  absl::Status Send(absl::string_view bytes, const std::string& digest) {
    auto upload = engine_->Begin(digest);
    if (!upload.ok()) return upload.status();
    // In two parts, as it comes over a wire.
    absl::Status written = (*upload)->Write(bytes.substr(0, bytes.size() / 2));
    if (!written.ok()) return written;
    written = (*upload)->Write(bytes.substr(bytes.size() / 2));
    if (!written.ok()) return written;
    return (*upload)->Finish();
  }
  std::vector<std::string> Kept() { return *ListDirectory(root_ + "/contexts"); }

  std::string root_;
  FakeClock clock_;
  std::unique_ptr<sqlite::Database> db_;
  std::unique_ptr<ContextEngine> engine_;
};

TEST_F(ContextEngineTest, KeepsAContextOverARestart) {
  std::string tar = File("Dockerfile", "FROM x") + End();
  std::string digest = oci::Digest::Of(tar).text();
  EXPECT_THAT(*engine_->Missing({digest}), ElementsAre(digest));
  ASSERT_TRUE(Send(tar, digest).ok());
  Open();
  EXPECT_THAT(*engine_->Missing({digest}), IsEmpty());
  EXPECT_EQ(*engine_->ReadFile(digest, "Dockerfile"), "FROM x");
  EXPECT_TRUE(absl::IsNotFound(engine_->ReadFile(digest, "other").status()));
}

TEST_F(ContextEngineTest, NothingStaysOfADamagedContext) {
  std::string tar = File("a", "1") + End();
  EXPECT_TRUE(absl::IsDataLoss(Send(tar, oci::Digest::Of("other").text())));
  std::string garbage(2000, 'x');
  EXPECT_TRUE(absl::IsInvalidArgument(Send(garbage, oci::Digest::Of(garbage).text())));
  EXPECT_TRUE(absl::IsInvalidArgument(engine_->Begin("../../etc").status()));
  EXPECT_THAT(Kept(), IsEmpty());
  EXPECT_THAT(*ListDirectory(root_ + "/ingest"), IsEmpty());
}

TEST_F(ContextEngineTest, OldOnesAreCollectedUnlessUsed) {
  std::string one = File("a", "1") + End(), two = File("a", "2") + End();
  std::string first = oci::Digest::Of(one).text(), second = oci::Digest::Of(two).text();
  ASSERT_TRUE(Send(one, first).ok());
  ASSERT_TRUE(Send(two, second).ok());
  clock_.Advance(absl::Hours(2));
  EXPECT_THAT(*engine_->Missing({second}), IsEmpty());
  EXPECT_EQ(*engine_->Collect(absl::Hours(1)), 1);
  EXPECT_THAT(*engine_->Missing({first, second}), ElementsAre(first));
  EXPECT_EQ(Kept().size(), 1u);
}

TEST_F(ContextEngineTest, AFileWithoutItsRowAndTheReverseAreRemovedAtStart) {
  std::string tar = File("a", "1") + End();
  std::string digest = oci::Digest::Of(tar).text();
  ASSERT_TRUE(Send(tar, digest).ok());
  ASSERT_TRUE(WriteFileVolatile(root_ + "/contexts/0123.tar", "x").ok());
  ASSERT_TRUE(RemoveFile(absl::StrCat(root_, "/contexts/", digest.substr(7), ".tar")).ok());
  Open();
  EXPECT_THAT(Kept(), IsEmpty());
  EXPECT_THAT(*engine_->Missing({digest}), ElementsAre(digest));
}

}  // namespace
}  // namespace darse::builder
