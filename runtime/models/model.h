// What a family provides. A model owns its weights (const, shared by all sessions), its template
// and its position rule; a session owns the cache, the window over time, sampling and cancelling.
// Interfaces here are the ones DESIGN §3 asks to be fixed before the second family.
#pragma once

#include <array>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "models/decoder_step.h"
#include "omni/segment.h"
#include "omni/spatial.h"
#include "ops/ops.h"
#include "text/bpe.h"
#include "video/patchify.h"

namespace omni {

// Position of a token in time, height and width.
using Position = std::array<int32_t, 3>;

// Tokens with their positions. The ids of media are placeholders; their rows come from a segment.
struct Rows {
  std::vector<int32_t> ids;
  std::vector<Position> positions;
  size_t size() const { return ids.size(); }
};

struct Tracks {
  bool video = false, audio = false;
  bool any() const { return video || audio; }
};

// Where the next token of a sequence goes.
struct Cursor {
  // one more than the highest position of the last block (text, or the pieces of one track that lie
  // side by side)
  int32_t next = 0;
  int32_t run_base = 0;           // position of time 0 of the open run of media
  std::optional<Modality> block;  // track of the last block of the open run
};

struct VisionSpec {
  PatchLayout layout;
  int temporal_patch = 2;
  // of a frame of video, from the processor's configuration
  int64_t min_pixels = 0, max_pixels = 0;
  int64_t image_min_pixels = 0, image_max_pixels = 0;
};

struct LoadProgress {
  std::function<void(double fraction)> report;  // may be empty
  void operator()(double fraction) const {
    if (report) report(fraction);
  }
};

class Model {
 public:
  virtual ~Model() = default;

  // where its weights are and a Context's arena must be; nullptr: the host
  virtual const Device* device() const = 0;
  virtual int hidden() const = 0;
  virtual int64_t max_positions() const = 0;
  virtual const BpeTokenizer& tokenizer() const = 0;
  virtual bool is_stop(int32_t id) const = 0;
  virtual Coordinates coordinates() const = 0;  // how it writes places

  // --- towers: one pair of pictures, one unit of sound. Results live in cx.arena; what is put in
  // is on the host or the model's device.
  virtual const VisionSpec& vision() const = 0;
  virtual int n_mels() const = 0;
  virtual int mel_frames_per_unit() const = 0;
  // patches [grid_h · grid_w, 1176] → [grid_h · grid_w / 4, hidden], row-major over the merged grid
  virtual Tensor encode_pictures(ops::Context& cx, const Tensor& patches, int grid_h,
                                 int grid_w) const = 0;
  // mel [frames ≤ mel_frames_per_unit, n_mels], normalised → [tokens, hidden]; tokens may be 0
  virtual Tensor encode_sound(ops::Context& cx, const Tensor& mel) const = 0;

  // --- template and positions
  virtual double ids_per_second() const = 0;  // of the time axis of positions
  // how media of several tracks are cut and laid one after the other
  virtual Nanoseconds chunk_duration() const = 0;
  // up to where media or the question go
  virtual Rows begin_dialogue(Cursor& cursor, const std::string& system_prompt) const = 0;
  virtual Rows begin_run(Cursor& cursor, Tracks tracks) const = 0;
  // `index`: time of the segment since the start of the run, in positions
  virtual Rows media(Cursor& cursor, const Segment& segment, int32_t index) const = 0;
  virtual Rows end_run(Cursor& cursor, Tracks tracks) const = 0;
  // and everything up to the first word of the answer
  virtual Rows ask(Cursor& cursor, const std::string& question) const = 0;
  // What is subtracted from the position of a row of media when the run starts `ids` later.
  virtual Position rebase(Modality modality, int32_t ids) const = 0;

  // --- text model
  virtual KvCache new_cache() const = 0;
  virtual Tensor embed(ops::Context& cx, std::span<const int32_t> ids) const = 0;  // [n, hidden]
  // Runs rows x[n, hidden] behind the cache and appends them to it. → hidden states after the last
  // norm, [n, hidden]
  virtual Tensor forward(ops::Context& cx, const Tensor& x, std::span<const Position> positions,
                         KvCache& cache) const = 0;
  // The same for one row [1, hidden]; `step`: the session's, with the cache.
  virtual Tensor decode(ops::Context& cx, const Tensor& x, const Position& position, KvCache& cache,
                        DecoderStep& step) const = 0;
  virtual DecoderStep new_step() const = 0;
  virtual Tensor logits(ops::Context& cx, const Tensor& hidden) const = 0;  // [n, vocabulary]
  // Turns the cached keys of rows [begin, end) as if their positions had been smaller by
  // delta(row).
  virtual void shift_keys(ops::Context& cx, KvCache& cache, int64_t begin, int64_t end,
                          const std::function<Position(int64_t)>& delta) const = 0;
};

}  // namespace omni
