#!/usr/bin/env python3
"""Tests the tests: plants one known mistake at a time into a copy of the sources, rebuilds, and expects a test to fail.

    tools/check/mutation_test.py [--only REGEX] [--build /tmp/omni-mutants]
    tools/check/mutation_test.py --check

Prints a line a mutant: caught (by which test) or SURVIVED. Takes about half a minute each; tools/test only runs --check, which
says whether every mistake can still be planted: the texts are looked for without regard to white space.
"""
import argparse, pathlib, re, shutil, subprocess, sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
M, Q, C, K, S = "runtime/models/qwen2_5_omni/", "runtime/models/qwen/", "runtime/captions/", "cuda/kernels/", "elements/streams/"
# name, file, text, replacement: the mistakes that people make with this model. Not among them, since it changes nothing: a bias on k (the same for all keys,
# softmax does not see it).
MUTANTS = [
    ("rotate pairs, not halves", "runtime/ops/cpu/kernels.inl", "const float a = x[i], b = x[i + half];\n    x[i] = a * cos[i] - b * sin[i];\n    x[i + half] = b * cos[i] + a * sin[i];",
     "const float a = x[2 * i], b = x[2 * i + 1];\n    x[2 * i] = a * cos[i] - b * sin[i];\n    x[2 * i + 1] = b * cos[i] + a * sin[i];"),
    ("mrope sections in another order", Q + "text_model.cc", "? 0 : i < c.mrope_section[0] + c.mrope_section[1] ? 1 : 2", "? 2 : i < c.mrope_section[0] + c.mrope_section[1] ? 1 : 0"),
    ("audio positions go on between pieces", M + "audio_tower.cc", "positional_embedding_.rows(0, n_states)", "positional_embedding_.rows(std::min<int64_t>(10, config_.n_window - n_states), n_states + std::min<int64_t>(10, config_.n_window - n_states))"),
    ("odd last audio state kept", M + "audio_tower.cc", "n_tokens = n_states / 2;", "n_tokens = (n_states + 1) / 2;"),
    ("ln_post before pooling", M + "audio_tower.cc", "proj_(cx, ln_post_(cx, ops::avg_pool_pairs(cx, x)))", "proj_(cx, ops::avg_pool_pairs(cx, ln_post_(cx, x)))"),
    ("windows not undone", Q + "visual.cc", "back[size_t(windows.order[i])] = int64_t(i);", "back[i] = int64_t(i);"),
    ("windows on the patch grid", Q + "visual.cc", "config_.window_size / merge / config_.patch_size", "config_.window_size / config_.patch_size"),
    ("full attention everywhere", Q + "visual.cc", "config_.fullatt_block_indexes.count(i) != 0", "true"),
    ("tanh GELU", "runtime/ops/cpu/kernels.inl", "0.5f * x[i] * (1.f + erf_(x[i] * 0.70710678118654752f))", "0.5f * x[i] * (1.f + std::tanh(0.7978845608f * (x[i] + 0.044715f * x[i] * x[i] * x[i])))"),
    ("eps 1e-5 for RMSNorm of the tower", Q + "visual.cc", "constexpr float kEps = 1e-6f;", "constexpr float kEps = 1e-3f;"),
    ("sound before video", "runtime/session/timeline.cc", "for (Track* t : {&video_, &audio_})", "for (Track* t : {&audio_, &video_})"),
    ("bos markers do not share a position", M + "chat_template.cc", "rows.positions.push_back({cursor.next, cursor.next, cursor.next});\n  }\n  ++cursor.next;", "rows.positions.push_back({cursor.next, cursor.next, cursor.next});\n    ++cursor.next;\n  }"),
    ("end of a run counts from its highest position", M + "chat_template.cc", "if (cursor.block != s.modality) cursor.next = 0;", ""),
    ("index of pictures rounded up", M + "chat_template.cc", "std::floor(index + 0.025)", "std::ceil(index + 0.025)"),
    ("decode position does not advance", "runtime/decoding/sequence.cc", "  ++cursor_.next;\n  add(", "  add("),
    ("hidden state before the last norm", Q + "text_model.cc", "ops::copy_(cx, out, norm_(cx, x));", "ops::copy_(cx, out, x);"),
    ("last STFT frame kept", "runtime/tokenizers/audio/log_mel.cc", "frames_until((n_samples_ + kHop - 1) / kHop, out);", "frames_until(n_samples_ / kHop + 1, out);"),
    ("symmetric Hann", "runtime/tokenizers/audio/log_mel.cc", "std::numbers::pi * i / kFftSize);", "std::numbers::pi * i / (kFftSize - 1));"),
    ("HTK mel scale", "runtime/tokenizers/audio/log_mel.cc", "double mel_of(double hz) { return", "double mel_of(double hz) { return 2595 * std::log10(1 + hz / 700) / 173 + 0 *"),
    ("mel floor of another depth", "runtime/tokenizers/audio/log_mel.cc", "highest - 8.f", "highest - 7.f"),
    ("tail reflects", "runtime/tokenizers/audio/log_mel.cc", "return i < n_samples_ ? samples_[size_t(i - first_)] : 0.f;", "return samples_[size_t((i < n_samples_ ? i : 2 * (n_samples_ - 1) - i) - first_)];"),
    ("bicubic with a = -0.75", "runtime/tokenizers/video/resize.cc", "constexpr double a = -0.5;", "constexpr double a = -0.75;"),
    ("no antialias", "runtime/tokenizers/video/resize.cc", "support = 2 * std::max(scale, 1.0), inverse = 1 / std::max(scale, 1.0);", "support = 2, inverse = 1;"),
    ("round half up in smart_resize", "runtime/tokenizers/video/smart_resize.cc", "int64_t(std::nearbyint(h / f))", "int64_t(std::floor(h / f + 0.5))"),
    ("channels swapped in patches", "runtime/tokenizers/video/patchify.cc", "picture + c * plane", "picture + (2 - c) * plane"),
    ("unshifted keys after sliding", "runtime/models/interface/paged_state.cc", "lanes_[i].offset[axis] += shift[i][axis];", ";"),
    ("pages of rows that slid away are kept", "runtime/models/interface/paged_state.cc", "  for (int32_t i = 0; i < pages; ++i) pages_.give(lane.pages[size_t(i)]);\n", ""),
    ("keys rotated without their lane's offset", Q + "text_model.cc", "rotate(k, variants.n > 1 ? variants.n : 0);", "rotate(k, 0);"),
    ("a token that was not drawn is computed behind the one that was", "runtime/decoding/scheduler_entry.cc", "  if (ahead->computed) state->truncate(state->length() - 1);\n", ""),
    ("a drawn token that is alone is computed by another thread", "runtime/decoding/scheduler.cc", "return n_ahead > (model_.device() ? 0 : 1);", "return n_ahead > 0;"),
    ("a prompt that was passed over does not go first", "runtime/decoding/scheduler_batch.cc", "const int rank = starves ? 0 : ", "const int rank = "),
    ("the hidden state of a token that is ahead of its time", "runtime/decoding/scheduler_entry.cc", "  current = 1 - current;\n", ""),
    ("speech: rotation of all heads of the DiT", M + "dit.cc", "{first.data, first.stride, 1, first.head_dim}", "first"),
    ("speech: no look back", M + "dit.cc", "(b - l.look_backward) * block)", "b * block)"),
    ("speech: look ahead everywhere", M + "dit.cc", "(b + 1 + l.look_ahead) * block)", "(b + 2) * block)"),
    ("speech: guidance has the other sign", M + "dit.cc", "out[i] += (out[i] - u[i])", "out[i] -= (out[i] - u[i])"),
    ("speech: no sway", M + "dit.cc", "constexpr float kSway = -1;", "constexpr float kSway = 0;"),
    ("speech: a point more", M + "dit.cc", "i < settings_.points; ++i", "i <= settings_.points; ++i"),
    ("speech: nobody says the codes", M + "dit.cc", "ops::embedding(on_host, conditioned ? codes : none, codec_embed_)", "ops::embedding(on_host, codes, codec_embed_)"),
    ("speech: scale and shift of the last norm exchanged", M + "dit.cc", "h, Tensor::view(last, DType::f32, {hidden}, nullptr, device), Tensor::view(last + hidden, DType", "h, Tensor::view(last + hidden, DType::f32, {hidden}, nullptr, device), Tensor::view(last, DType"),
    ("speech: linear alpha", M + "bigvgan.cc", "s.alpha.f32()[k] = std::exp(s.alpha.f32()[k]);", ""),
    ("speech: no floor in dB", M + "bigvgan.cc", "std::max(std::exp(mel.f32()[i]), floor)", "std::exp(mel.f32()[i] * 0.999f)"),
    ("speech: end of text missing", M + "voice.cc", "std::exchange(text_ended_, true) ? c.text_pad : c.text_end", "std::exchange(text_ended_, true) ? c.text_pad : c.text_pad"),
    ("speech: end of text repeated", M + "voice.cc", "std::exchange(text_ended_, true) ? c.text_pad : c.text_end", "c.text_end"),
    ("speech: codec pad row missing", M + "voice.cc", "ops::add_(cx, bos, voice_.talker_.codec_embed(cx, c.codec_pad));", ""),
    ("speech: the last block is not kept", M + "dit.cc", "if (goes_on) std::move(kept.begin(), kept.end(), past_.begin() + std::ptrdiff_t(slot));", ""),
    ("speech: two blocks ahead", M + "dit.h", "kAhead = 3;", "kAhead = 2;"),
    ("speech: noise of the chunk, not of the utterance", M + "dit.cc", "noise_(done_ + i,", "noise_(i,"),
    ("speech: the vocoder's reach is too short", M + "bigvgan.cc", "return reach + 3;", "return reach / 5;"),
    ("vision-language: every frame is two steps", Q + "vision_template.cc", "return cursor.n_steps;", "return 2 * cursor.n_steps;"),
    ("vision-language: time starts with the stream", Q + "vision_template.cc", "double(s.start - run_start)", "double(s.start)"),
    ("vision-language: a stamp that is early is of the step before", Q + "vision_template.cc", "kJitter = 0.001;", "kJitter = 0;"),
    ("vision-language: text follows the latest frame", Q + "vision_template.cc", "  cursor.next = cursor.text_next;\n", ""),
    ("vision-language: the answer follows the text", Q + "vision_template.cc", "  cursor.next = std::max(cursor.next, cursor.answer_next);\n", ""),
    ("vision-language: pictures lie side by side", Q + "vision_template.cc", "{base + t, base + h, base + w}", "{t, base + h, base + w}"),
    ("vision-language: no system turn of its own", Q + "vision_template.cc", "system_prompt.empty() ? kDefaultSystem : system_prompt", "system_prompt"),
    ("vision-language: steps that left are counted", Q + "vision_template.cc", "    cursor.n_steps -= gone.steps;\n", ""),
    ("vision-language: pictures stay where they are when others leave", Q + "vision_template.cc", "vision = {gone.positions, gone.positions, gone.positions};", ""),
    ("vision-language: videos have the limits of pictures", Q + "vision_language.cc", "spec.video = read_pixels(video,", "spec.video = read_pixels(read_image_processor(folder),"),
    ("vision-language: only text_config ties the head", Q + "vision_language.cc", "  text.tie_word_embeddings |= tied;\n", ""),
    ("qwen2_vl: the towers' full GELU", Q + "visual.cc", "ops::quick_gelu_", "ops::gelu_"),
    ("qwen2_vl: RMSNorm in the tower", Q + "visual.cc", "return LayerNorm(w, config_.hidden_size, kEps);", "return RmsNorm(w, config_.hidden_size, kEps);"),
    ("qwen2_vl: boxes in pixels", "runtime/models/qwen2_vl/qwen2_vl.cc", "Coordinates::thousandths_markup", "Coordinates::resized_pixels"),
    ("sampling is asked for though the checkpoint does not sample", "runtime/engine/engine.cc", "  if (!generation.boolean_or(\"do_sample\", false)) return;\n", ""),
    ("audio pads of what does not hear", "elements/common/gstomnicontext.cc", "if (abilities.audio) return true;", "return true;"),
    ("whisper: tanh GELU", "runtime/layers/encoder.cc", "ops::gelu_(cx, h);", "ops::gelu_tanh_(cx, h);"),
    ("whisper: positions of the decoder start anew", "runtime/models/whisper/decoder.cc", "embed_positions_.rows(n_past, n_past + n)", "embed_positions_.rows(0, n)"),
    ("whisper: alignment of the wrong layer", "runtime/models/whisper/decoder.cc", "if (of_layer != layer) continue;", "if (of_layer != layer && of_layer != 0) continue;"),
    ("whisper: median of five", "runtime/transcription/word_times.cc", "constexpr int kMedian = 7;", "constexpr int kMedian = 5;"),
    ("whisper: suppressed at the beginning only", "runtime/transcription/whisper_decoding.cc", "  for (const int32_t id : t.suppressed) forbid(id);\n", "  if (text.tokens.empty()) for (const int32_t id : t.suppressed) forbid(id);\n"),
    ("whisper: times may go back", "runtime/transcription/whisper_decoding.cc", "if (latest != tokens.rend()) forbid(", "if (false) forbid("),
    ("special tokens of users are special", "runtime/tokenizers/text/bpe.h", "return encode(text, false); }", "return encode(text, true); }"),
    ("no NFC", "runtime/tokenizers/text/bpe.cc", "nfc_ ? to_nfc", "false ? to_nfc"),
    ("captions: control codes once in field 1", C + "cea608_encoder.cc", "again_ = code.twice && o_.channel <= 2;", "again_ = false;"),
    ("captions: control codes twice in field 2", C + "cea608_encoder.cc", "again_ = code.twice && o_.channel <= 2;", "again_ = code.twice;"),
    ("captions: nothing between equal codes", C + "cea608_encoder.cc", "queue_.back().second == code.second) put(mode(), not_before);", "queue_.back().second == code.second) {}"),
    ("captions: even parity", C + "cea608_encoder.cc", "std::popcount(byte) % 2 == 0", "std::popcount(byte) % 2 == 1"),
    ("captions: loaded at its time, not ahead", C + "cea608_encoder.cc", "queue_[i].not_before = show - frames - 2;", "queue_[i].not_before = show;"),
    ("captions: never wiped", C + "cea608_encoder.cc", "erase_at_ = pop_on || code.shown_until != 0 ? code.shown_until + lag_ : n + o_.keep_frames;", "erase_at_ = kNever;"),
    ("captions: row does not roll", C + "cea608_encoder.cc", "        put(misc(kCarriageReturn), begin);\n", ""),
    ("captions: a column too many in a row", C + "cea608_encoder.cc", "column_ + 1 + int(text.size()) > kColumns", "column_ + int(text.size()) > kColumns"),
    ("captions: no stand-in", C + "cea608_characters.cc", "{uint8_t(stand_in_2[i]), 0x13,", "{0, 0x13,"),
    ("captions: rows 11 and 12 exchanged", C + "cea608_encoder.cc", "{0x10, 0x40}, {0x13, 0x40}", "{0x13, 0x40}, {0x10, 0x40}"),
    ("captions: reading time forgotten", C + "caption_formatter.cc", "std::max(layout_.minimum_duration, reading)", "layout_.minimum_duration"),
    ("captions: lag without limit", C + "caption_formatter.cc", "*next + kMostLag", "*next + 100 * kMostLag"),
    ("captions: clauses do not count", C + "line_breaks.cc", "kBehindClause = -0.06", "kBehindClause = 0.06"),
    ("quantized: AWQ's outputs in order", "runtime/io/quantized/awq.cc", "{0, 4, 1, 5, 2, 6, 3, 7}", "{0, 1, 2, 3, 4, 5, 6, 7}"),
    ("quantized: GPTQ's zero as stored", "runtime/io/quantized/gptq.cc", "format == \"gptq\" ? 1 : 0", "0"),
    ("quantized: GPTQ's zero grows past its bits", "runtime/io/quantized/gptq.cc", "(unpacked(row, o, bits_) + zero_off_) & ((1 << bits_) - 1)", "unpacked(row, o, bits_) + zero_off_"),
    ("quantized: groups of other columns", "runtime/io/quantized/layouts.cc", "order[g * group + n++] = int32_t(i);", "order[i] = int32_t(i), ++n;"),
    ("quantized: a group may hold too many", "runtime/io/quantized/layouts.cc", "if (n == group)\n", "if (n == n_in)\n"),
    ("quantized: scales of any value", "runtime/io/quantized/layouts.cc", "return std::isfinite(x);", "return true;"),
    ("quantized: zeros of eight bits forgotten", "runtime/io/quantized/layouts.cc", "!zeros.defined() || all_equal(zeros, 128)", "true"),
    ("quantized: names match inside a component", "runtime/io/quantized/module_list.cc", "dotted.find(\".\" + name + \".\")", "dotted.find(name)"),
    ("quantized: patterns match anywhere", "runtime/io/quantized/module_list.cc", "PCRE2_ANCHORED | ", ""),
    ("quantized: lists of dense modules ignored", "runtime/io/quantized/compressed_tensors.cc", "if (dense_.has(name)) return nullptr;", ""),
    ("quantized: zeros of the other half", "runtime/io/quantized/compressed_tensors.cc", "unpacked(&word, o % per_word, bits)", "unpacked(&word, o % 4, bits)"),
    ("input: folders are files", "runtime/core/mapped_file.cc", "if (!S_ISREG(st.st_mode))", "if (false)"),
    ("input: ranges have no lower end", "runtime/io/json.cc", "v.get<int64_t>() < low ||", ""),
    ("input: an assumed key has any value", "runtime/io/config_keys.cc", "if (value.dump() == one) return;", "return;"),
    ("input: keys of sections are in all lists", "runtime/io/config_keys.cc", "if (!key)\n        unlisted.push_back(here->member_path(name));", "if (!key)\n        continue;"),
    ("input: heads that are not there are kept", "runtime/models/whisper/config.cc", "if (pair[0] < c.decoder_layers && pair[1] < c.decoder_attention_heads)", ""),
    ("input: copies of a pickle are free", "runtime/io/tensor_pickle.cc", "count(there->second.n_objects);", ""),
    ("input: tensors of a pickle are free", "runtime/io/tensor_pickle.cc", "if (tensor_bytes_ > 2 * archive_.size())", "if (false)"),
    ("input: bounds of a schema are cast first", "runtime/grammar/json_schema.cc", "if (!(v >= double(low) && v <= double(high)) || v != std::floor(v))", "if (int64_t(v) < low || int64_t(v) > high)"),
    ("input: a pointer of git-lfs is JSON", "runtime/io/json.cc", "refuse_lfs_pointer(path, text);", ""),
    ("quantize: no search", "runtime/io/quantize.cc", "float wider = -1.5f; wider <= 2", "float wider = 0; wider <= 0"),
    ("quantize: odd columns first", "runtime/io/quantize.cc", "int(even) | int(odd) << 4", "int(odd) | int(even) << 4"),
    ("quantize: scales finer than a float16", "runtime/io/quantize.cc", "to_float(to_float16(qq > 0 ? wq / qq : 0))", "qq > 0 ? wq / qq : 0"),
    ("quantize: NaN is a number", "runtime/io/quantize.cc", "  return bad == 0;", "  return true;"),
    ("quantize: no int8 for what four bits cannot hold", "runtime/io/quantize.cc", "return fits ? w", "return true ? w"),
    ("quantize: the cache believes any file", "runtime/io/quantize_cache.cc", "stamp.i64()[1] == checksum(w)", "true"),
    ("quantize: the cache is of any tensor", "runtime/io/quantize_cache.cc", "|| stamp.i64()[0] != source)", ")"),
    ("quantize: weights are no part of what it is made of", "runtime/io/quantize_cache.cc", "h.add(static_cast<const char*>(dense.raw()) + at,", "h.add(name.data(), 0 *"),
    ("quantize: names leave the folder", "runtime/io/quantize_cache.cc", "= '_';", "= c;"),
    ("quantize: said at every matrix", "runtime/io/quantize_cache.cc", "    cannot_write_ = true;\n", ""),
    ("precision: int4 where it is quantized already", "runtime/engine/engine.cc", "    asked = Precision::automatic;\n", ""),
    ("cuda: no barrier before partial sums are written again", K + "dialect.h", "  __syncthreads();  // `partial` may still be read from the sum before\n", ""),
    ("cuda: no barrier before partial sums are read", K + "dialect.h", "partial[threadIdx.x / 32] = x;\n  __syncthreads();", "partial[threadIdx.x / 32] = x;"),
    ("cuda: one element past the row", K + "rms_norm.cu", "i < width; i += kThreads) y[i] =", "i <= width; i += kThreads) y[i] ="),
    ("cuda: variance around zero", K + "layer_norm.cu", "x[i] - mean;\n    squares", "x[i];\n    squares"),
    ("cuda: tail not cut off", K + "silu_mul.cu", "  if (i >= n) return;\n", ""),
    ("cuda: rotates the other way", K + "rotate.cu", "a * c - b * s", "a * c + b * s"),
    ("cuda: no barrier after the query is loaded", K + "attention_decode.cu", "* scale;\n  __syncthreads();", "* scale;"),
    ("cuda: no barrier after the scores", K + "attention_decode.cu", "weight[j] = sum;\n  }\n  __syncthreads();", "weight[j] = sum;\n  }"),
    ("cuda: scores overwritten while others look for the highest", K + "attention_decode.cu", "weight[j]);\n  __syncthreads();\n  for (int j = int(threadIdx.x)", "weight[j]);\n  for (int j = int(threadIdx.x)"),
    ("cuda: no barrier after the exponentials", K + "attention_decode.cu", "- highest);\n  __syncthreads();", "- highest);"),
    ("cuda: keys behind the cache", K + "attention_decode.cu", "n = min(kDecodeKeys, n_keys - first);", "n = kDecodeKeys;"),
    ("cuda: stretches joined without their maxima", K + "attention_decode.cu", "share = __expf(one[0] - highest)", "share = 1.f"),
    ("cuda: attention: no barrier before the next keys", K + "attention.cu", "    __syncthreads();  // keys and values may still be read; the first time, queries are written\n", ""),
    ("cuda: attention: no barrier behind the keys", K + "attention.cu", "    }\n    __syncthreads();\n    OMNI_UNROLL", "    }\n    OMNI_UNROLL"),
    ("cuda: attention: weights read before the warp has written them", K + "attention.cu", "= e;\n      __syncwarp();", "= e;"),
    ("cuda: attention: weights written while the warp reads them", K + "attention.cu", "        part[i][p] = part[i][p] * shrink + more;\n      }\n      __syncwarp();", "        part[i][p] = part[i][p] * shrink + more;\n      }"),
    ("cuda: attention: keys behind the range", K + "attention.cu", "min(kKeys, tile.n_keys - begin)", "kKeys"),
    ("cuda: attention: sums not shrunk with the maximum", K + "attention.cu", "sum[i] = sum[i] * shrink + warp_sum(e);", "sum[i] = sum[i] + warp_sum(e);"),
    ("cuda: linear: tiles written while they are read", K + "linear.cu", "    __syncthreads();  // the tiles may still be read\n", ""),
    ("cuda: linear: a row too many", K + "linear.cu", "first_row + row + i < n && output", "first_row + row + i <= n && output"),
    ("cuda: linear: x not rounded", K + "linear.cu", "  bf16 r;\n  assign(r, x);\n  return to_float(r);", "  return x;"),
    ("cuda: linear: tensor tiles written while they are read", K + "linear.cu", "    __syncthreads();  // the tiles may still be read\n    OMNI_UNROLL", "    OMNI_UNROLL"),
    ("cuda: linear: fragments of the wrong half", K + "linear.cu", "pair + k / 2 * 4];", "pair + k % 2 * 4];"),
    ("cuda: linear: rows of the tile behind the end", K + "linear.cu", "has_row = first_row + row < n;", "has_row = true;"),
    ("cuda: unfold: reflects at the wrong sample", K + "convolution.cu", "2 * (n_in - 1) - at", "2 * n_in - 1 - at"),
    ("cuda: snake: one sample short", K + "snake_beta.cu", "m < 2 * end + 5 &&", "m < 2 * end + 4 &&"),
    ("cuda: patches: components mixed up in shared memory", K + "patches.cu", "    __syncthreads();  // the component before is still read\n", ""),
    ("cuda: patches: samples behind the edge", K + "patches.cu", "&& first + t <= last; ++t", "; ++t"),
    ("cuda: host: staging reused while it is being copied", "runtime/ops/cuda/cuda_device.cc", "if (staged_ == kStaging) wait();", "if (staged_ == kStaging) staged_ = 0;"),
    ("cuda: host: uploads share their staging", "runtime/ops/cuda/cuda_device.cc", "done += n, staged_ += n;", "done += n;"),
    ("cuda: host: a frame given back before it was read", "runtime/tokenizers/video/device_patches.cc", "  if (frame.on_device) arena.queue().wait();\n  else ", "  if (!frame.on_device) "),
    ("cuda: host: one query looks at the first keys", "runtime/ops/cuda/cuda_backend.cc", "one_over(cx, q, k.from(r.first_key), v.from", "one_over(cx, q, k, v.from"),
    ("cuda: host: joined weights overlap", "runtime/ops/cuda/cuda_backend.cc", "      first += part.n_out;\n", ""),
    ("cuda: host: tiles of a range begin anew", "runtime/ops/cuda/cuda_backend.cc", "tiles.push_back({begin, r.first_key,", "tiles.push_back({begin, begin,"),
    ("cuda: host: a step that was recorded for another shape", "runtime/models/interface/forward_workspace.cc", "step.x.defined() && step.shape == shape && step.variant == variant;", "step.x.defined();"),
    ("cuda: host: the row of the step before", "runtime/models/interface/forward_workspace.cc", "  ops::copy_(cx, step.x, x);\n  const auto whole", "  if (!step.recording) ops::copy_(cx, step.x, x);\n  const auto whole"),
    ("cuda: host: computes before the frame has arrived", "runtime/tokenizers/video/device_patches.cc", "  arena.queue().run_behind(*slot.arrived);\n", ""),
    ("cuda: host: a frame overwritten while it is read", "runtime/tokenizers/video/device_patches.cc", "  copies_->run_behind(*slot.read);\n", ""),
    ("cuda: sample: of equals the last", K + "sample.cu", "keys[me] == keys[other] && ids[me] < ids[other]", "keys[me] == keys[other] && ids[me] > ids[other]"),
    ("cuda: sample: digits looked at before they are counted", K + "sample.cu", "& (kDigits - 1)], 1);\n    }\n    __syncthreads();", "& (kDigits - 1)], 1);\n    }"),
    ("cuda: sample: what is unlikely becomes likelier when it is seen", K + "sample.cu", "score < 0 ? score * penalty : score / penalty", "score / penalty"),
    ("cuda: sample: as many equals as there are", K + "sample.cu", "key == threshold && equal < wanted", "key == threshold && equal < wanted + (k < kMostChoices)"),
    ("cuda: log_mel: bands of a power that is not there yet", K + "log_mel.cu", "    power[me] = re * re + im * im;\n  }\n  __syncthreads();", "    power[me] = re * re + im * im;\n  }"),
    ("cuda: host: cuBLASLt without the bias", "runtime/ops/cuda/cuda_backend.cc", "w.is_bf16(), bias != nullptr}", "w.is_bf16(), false}"),
    ("cuda: host: cuBLASLt with what is not aligned", "runtime/ops/cuda/cuda_backend.cc", "      if (reinterpret_cast<uintptr_t>(p) % Products::kAlign) return false;\n", "      (void)p;\n"),
    ("cuda: host: cuDNN's engines whatever their precision", "runtime/ops/cuda/cudnn.cc", "if (!is_precise(cudnn, configuration, shape.tensor_cores)) continue;", ""),
    ("cuda: host: cuDNN pads on the wrong side", "runtime/ops/cuda/cudnn.cc", "before[] = {0, s.before}", "before[] = {0, (s.n_out - 1) * s.stride + reach + 1 - s.before - s.n}"),
    ("cuda: heads of another group", K + "attention_decode.cu", "v += int64_t(first) * kv_stride + int64_t(head / group) * head_dim;", "v += int64_t(first) * kv_stride + int64_t(head % group) * head_dim;"),
    ("pages: all rows of a page", "runtime/ops/cpu/backend.cc", "n = std::min<int64_t>(kPageRows - in_page, seen.end - row)", "n = kPageRows - in_page"),
    ("pages: what slid away is seen", "runtime/ops/cpu/backend.cc", "for (int64_t row = seen.first; row < seen.end;)", "for (int64_t row = seen.first / kPageRows * kPageRows; row < seen.end;)"),
    ("pages: every lane meets the first variant", "runtime/ops/cpu/backend.cc", "lanes[l] = {q[size_t(l)].data", "lanes[l] = {q[0].data"),
    ("pages: a token sees the rows of those behind it", "runtime/ops/paged_batch.cc", "    seen_.insert(seen_.end(), now, now + n_lanes_);\n", "    seen_.insert(seen_.end(), now, now + n_lanes_);\n    for (int k = 0; k < n_lanes_; ++k) seen_[seen_.size() - size_t(n_lanes_) + size_t(k)].end = int32_t(lanes[size_t(k)].end + int32_t(lane_of.size()));\n"),
    ("pages: hidden scores weigh", "runtime/ops/cpu/kernels.inl", "    std::fill(hidden, x, 0.f);\n", ""),
    ("pages: tiles over two sequences", "runtime/ops/paged_batch.cc", "  spans_.push_back({begin, int32_t(slots_.size())});", "  if (spans_.empty()) spans_.push_back({begin, 0});\n  spans_.back().end = int32_t(slots_.size());"),
    ("cuda: pages: a row of the page before", K + "pages.h", "tables[table + row / kPageRows]", "tables[table]"),
    ("cuda: pages: keys rounded into the values' place", K + "paged_attention.cu", "assign(to[s.values], v[", "assign(to[s.keys + s.head_dim], v["),
    ("cuda: paged attention: queries of a lane written while the last one's are read", K + "paged_attention.cu", "    __syncthreads();  // the queries may still be read\n", ""),
    ("cuda: paged attention: keys written while they are read", K + "paged_attention.cu", "      __syncthreads();  // keys and values may still be read; the first time, queries are written\n", ""),
    ("cuda: paged attention: every lane meets the first variant", K + "paged_attention.cu", "of = of_lane(q, l);", "of = of_lane(q, 0);"),
    ("cuda: paged attention: all see what the last query sees", K + "paged_attention.cu", "min(n, seen[mine * s.n_lanes + l].end - begin)", "n"),
    ("cuda: paged attention: what slid away is seen", K + "paged_attention.cu", "for (int begin = last.first; begin < last.end", "for (int begin = 0; begin < last.end"),
    ("cuda: paged decode: keys written while they are read", K + "paged_decode.cu", "    __syncthreads();  // keys may still be read; the first time, queries and rows are written\n", ""),
    ("cuda: paged decode: weights read before they are there", K + "paged_decode.cu", "= me < n ? score[h] : -INFINITY;\n  __syncthreads();", "= me < n ? score[h] : -INFINITY;"),
    ("cuda: paged decode: values before the exponentials", K + "paged_decode.cu", "partial[h * to_next + 1] = sum;\n  }\n  __syncthreads();", "partial[h * to_next + 1] = sum;\n  }"),
    ("cuda: paged decode: every lane meets the first variant", K + "paged_decode.cu", "of = of_lane(q, l);", "of = of_lane(q, 0);"),
    ("cuda: paged decode: a lane's stretches begin where the last one's ended", K + "paged_decode.cu", "    stretch -= stretches_of(rows);\n", ""),
    ("cuda: paged decode: stretches joined without their maxima", K + "paged_decode.cu", "share = __expf(one[0] - highest)", "share = 1.f"),
    ("cuda: paged decode: stretches that are not there are joined", K + "paged_decode.cu", "    n_stretches += stretches_of(seen[int64_t(token) * n_lanes + l]);", "    n_stretches = most_stretches;"),
    ("cuda: paged decode: heads of another part of the group", K + "paged_decode.cu", "head = kv_head * group + first_head;", "head = kv_head * group;"),
    ("cuda: host: pages: a graph for other batches", "runtime/ops/paged_batch.cc", "most_stretches ? int64_t(std::bit_ceil(uint64_t(most_stretches))) : 0", "1"),
    ("streams: the newest is dropped", S + "gstomniinput.cc", "std::find_if(queue_.begin(), queue_.end(), is_data);", "std::find_if(queue_.rbegin(), queue_.rend(), is_data).base() - 1;"),
    ("streams: bytes without limit", S + "gstomniinput.cc", "queued_bytes_ >= limits_.bytes ||", ""),
    ("streams: time without limit", S + "gstomniinput.cc", "queued_time_ >= limits_.time", "false"),
    ("streams: a flush loses caps", S + "gstomniinput.cc", "clear(true);", "clear(false);"),
    ("streams: what lies ahead of the segment is kept", S + "gstomniinput.cc", "return duration > 0 ? time + duration <= segment_.start : time < segment_.start;", "return false;"),
    ("streams: an event that a flush cuts short is lost", S + "gstomniinput.cc", "put_back(std::move(*item));", ""),
    ("streams: each jump is said", S + "gstomniinput.cc", "if ((n & (n - 1)) == 0) messages_", "messages_"),
    ("streams: stamps that go back are followed", S + "gstomnitimestamps.cc", "const bool can_be = jump > 0 &&", "const bool can_be ="),
    ("streams: one bad stamp is believed", S + "gstomnitimestamps.cc", "if (lasted >= kLasting) {", "{"),
    ("streams: a hole is never believed", S + "gstomnitimestamps.cc", "if (lasted >= kLasting) {", "if (false) {"),
    ("streams: the clock does not judge", S + "gstomnitimestamps.cc", "const bool judged = GST_CLOCK_TIME_IS_VALID(latest) && !reverse_;", "const bool judged = false;"),
    ("streams: a wake is lost", S + "gstomniworker.cc", "    std::lock_guard guard(lock_);\n    ++n_wakes_;\n  }", "    std::lock_guard guard(lock_);\n  }"),
    ("streams: a flush does not wait for the step", S + "gstomniworker.cc", "changed_.wait(lock, [this] { return !stepping_; });", ""),
    ("streams: nothing is void behind a flush", S + "gstomniworker.cc", "restart_due_ = true;\n}", "}"),
    ("streams: steps behind an error", S + "gstomniworker.cc", "if (round == GstOmniRound::broken) return false;", ""),
]


# The beginning of a mutant's name → the tests that it is for. With --only REGEX these alone are built and run.
SUITES = {
    "cuda": ["cuda_test", "device_test", "fake_cudnn", "fake_cublaslt"],
    "captions": ["captions_test"],
    "streams": ["streams_test"],
    "quanti": ["io_test", "models_test"],
    "precision": ["io_test", "models_test"],
    "input": ["grammar_test", "io_test", "models_test"],
    "": ["ops_test", "tokenizers_test", "decoding_test", "session_test"],
}


def plant(source, text, replacement):
    """`source` with the first `text` replaced; None if it is not there. White space does not count."""
    places = [i for i, c in enumerate(source) if not c.isspace()]
    at = "".join(source[i] for i in places).find("".join(text.split()))
    if at < 0:
        return None
    first, last = places[at], places[at + len("".join(text.split())) - 1]
    return source[:first] + replacement.strip() + source[last + 1:]


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--only", default="", help="a regular expression: the mutants whose names it finds")
    ap.add_argument("--build", type=pathlib.Path, default=pathlib.Path("/tmp/omni-mutants"))
    ap.add_argument("--check", action="store_true", help="only say which mistakes cannot be planted any more")
    a = ap.parse_args()
    if a.check:
        stale = [f"{name}: {file}" for name, file, text, new in MUTANTS if plant((ROOT / file).read_text(), text, new) is None]
        print("\n".join(stale) or f"{len(MUTANTS)} mistakes can be planted")
        sys.exit(bool(stale))
    source, build = a.build / "source", a.build / "build"
    shutil.rmtree(source, ignore_errors=True)
    subprocess.run(["git", "clone", "-q", str(ROOT), str(source)], check=True)
    run = lambda *c: subprocess.run(c, capture_output=True, text=True)
    assert run("cmake", "-S", str(source), "-B", str(build), "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release", "-DOMNI_CUDA=OFF",
               *(["-DCMAKE_CXX_COMPILER_LAUNCHER=ccache"] if shutil.which("ccache") else [])).returncode == 0
    every = [test for some in SUITES.values() for test in some]
    tests = next((some for prefix, some in SUITES.items() if prefix and a.only.lstrip("^").startswith(prefix)), list(dict.fromkeys(every)))
    assert run("ninja", "-C", str(build), *tests).returncode == 0, "the unchanged sources do not build"
    survived = n = 0
    for name, file, text, replacement in MUTANTS:
        if not re.search(a.only, name):
            continue
        n += 1
        path = source / file
        original = path.read_text()
        mutant = plant(original, text, replacement)
        if mutant is None:
            print(f"STALE     {name}: {file} has no such text", flush=True)
            survived += 1
            continue
        path.write_text(mutant)
        built = run("ninja", "-C", str(build), *tests)
        caught = "does not build" if built.returncode else None
        with_libraries = ("env", "OMNI_CUDNN=1", "OMNI_CUBLASLT=1", f"LD_LIBRARY_PATH={build}/tests/fake_cudnn")
        for test in [t for t in tests if t.endswith("_test")] if not caught else []:
            for environment in [(), with_libraries] if test == "device_test" else [()]:
                out = run("timeout", "300", *environment, str(build / "tests" / test), "--gtest_brief=1")
                failed = re.findall(r"FAILED  \] (\S+)", out.stdout)
                if out.returncode and not caught:
                    caught = failed[0].rstrip(",") if failed else f"{test} (crash)"
            if caught:
                break
        print(f"{'caught  ' if caught else 'SURVIVED'}  {name}: {caught or ''}", flush=True)
        survived += caught is None or caught == "does not build"
        path.write_text(original)
    print(f"{survived} of {n} not caught")
    sys.exit(bool(survived))


if __name__ == "__main__":
    main()
