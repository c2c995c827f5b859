#!/usr/bin/env python3
"""Tests the tests: plants one known mistake at a time into a copy of the sources, rebuilds, and expects a test to fail.

    tools/check/mutation_test.py [--only REGEX] [--area PREFIX] [--build /tmp/omni-mutants]
    tools/check/mutation_test.py --check

Prints a line a mutant: caught (by which test) or SURVIVED, and at the end the share caught of each area. The copy is that of the
files git knows, as they are here, and is kept: what has not changed is not built again. Takes about half a minute each; tools/test
only runs --check, which says whether every mistake can still be planted: the texts are looked for without regard to white space.
"""
import argparse, collections, pathlib, re, shutil, subprocess, sys, time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
M, Q, C, K, S = "runtime/models/qwen2_5_omni/", "runtime/models/qwen/", "runtime/captions/", "cuda/kernels/", "elements/streams/"
T, E = "runtime/session/", "elements/"
N, O = "runtime/models/qwen3_vl/", "runtime/models/qwen3_omni/"
# name, file, text, replacement: the mistakes that people make with this model. Not among them, since it changes nothing: a bias on k (the same for all keys,
# softmax does not see it).
MUTANTS = [
    ("rotate pairs, not halves", "runtime/ops/cpu/kernels.inl", "const float a = x[i], b = x[i + half];\n    x[i] = a * cos[i] - b * sin[i];\n    x[i + half] = b * cos[i] + a * sin[i];",
     "const float a = x[2 * i], b = x[2 * i + 1];\n    x[2 * i] = a * cos[i] - b * sin[i];\n    x[2 * i + 1] = b * cos[i] + a * sin[i];"),
    ("mrope sections in another order", Q + "text_model.cc", "return frequency < height ? 0 : frequency < width ? 1 : 2;", "return frequency < height ? 2 : frequency < width ? 1 : 0;"),
    ("audio positions go on between pieces", M + "audio_tower.cc", "positional_embedding_.rows(0, n_states)", "positional_embedding_.rows(std::min<int64_t>(10, config_.n_window - n_states), n_states + std::min<int64_t>(10, config_.n_window - n_states))"),
    ("an answer is about the time when it was there", "runtime/session/running_turn.cc", "emit(turn_.span, TurnDone{", "emit(span, TurnDone{"),
    ("odd last audio state kept", M + "audio_tower.cc", "n_tokens = n_states / 2;", "n_tokens = (n_states + 1) / 2;"),
    ("ln_post before pooling", M + "audio_tower.cc", "ln_post_(cx, ops::avg_pool_pairs(cx, x), proj_.operand())", "ops::avg_pool_pairs(cx, ln_post_(cx, x))"),
    ("windows not undone", Q + "visual.cc", "back[size_t(windows.order[i])] = int64_t(i);", "back[i] = int64_t(i);"),
    ("windows on the patch grid", Q + "visual.cc", "config_.window_size / merge / config_.patch_size", "config_.window_size / config_.patch_size"),
    ("full attention everywhere", Q + "visual.cc", "config_.fullatt_block_indexes.count(i) != 0", "true"),
    ("tanh GELU", "runtime/ops/cpu/kernels.inl", "0.5f * x[i] * (1.f + erf_(x[i] * 0.70710678118654752f))", "0.5f * x[i] * (1.f + std::tanh(0.7978845608f * (x[i] + 0.044715f * x[i] * x[i] * x[i])))"),
    ("eps 1e-5 for RMSNorm of the tower", Q + "visual.cc", "constexpr float kEps = 1e-6f;", "constexpr float kEps = 1e-3f;"),
    ("a chunk of sound is told to have pictures", "runtime/session/dialogue.cc", "    begin_run_anew(chunks_.front().tracks);\n", "    ;\n"),
    ("objects are asked for where there are no pictures", "runtime/session/turns.cc", "if (tracks.video && s.wants_objects)", "if (s.wants_objects)"),
    ("live, a track that brings nothing is waited for", "runtime/session/session_thread.cc", "return held.begin + *promise - *clock.now;", "return std::nullopt;"),
    ("the end of a track that brings nothing is waited for", "runtime/session/inbox.cc", "if (t->comes && !t->silent && !t->has_ended()) return false;", "if (t->comes && !t->has_ended()) return false;"),
    ("what comes too late ends a silence", "runtime/session/timeline.cc", "    ++n_late_;\n    return;\n", "    ++n_late_;\n    t.silent = false;\n    return;\n"),
    ("sound before video", "runtime/session/timeline.cc", "for (Track* t : {&video_, &audio_})", "for (Track* t : {&audio_, &video_})"),
    ("bos markers do not share a position", M + "chat_template.cc", "rows.positions.push_back({cursor.next, cursor.next, cursor.next});\n  }\n  ++cursor.next;", "rows.positions.push_back({cursor.next, cursor.next, cursor.next});\n    ++cursor.next;\n  }"),
    ("end of a run counts from its highest position", M + "chat_template.cc", "if (cursor.block != s.modality) cursor.next = 0;", ""),
    ("index of pictures rounded up", M + "chat_template.cc", "std::floor(index + 0.025)", "std::ceil(index + 0.025)"),
    ("decode position does not advance", "runtime/decoding/sequence.cc", "  ++cursor_.next;\n  add(", "  add("),
    ("hidden state before the last norm", Q + "text_model.cc", "return norm_(cx, x);", "return x;"),
    ("last STFT frame kept", "runtime/tokenizers/audio/log_mel.cc", "frames_until((n_samples_ + begun) / kHop, out);", "frames_until(n_samples_ / kHop + 1, out);"),
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
    ("keys rotated without their lane's offset", Q + "text_model.cc", "of_key = table(n_tables - 1);", "of_key = table(0);"),
    ("a token that was not drawn is computed behind the one that was", "runtime/decoding/scheduler_entry.cc", "  if (ahead->computed) state->truncate(state->length() - 1);\n", ""),
    ("a drawn token that is alone is computed by another thread", "runtime/decoding/scheduler.cc", "return n_ahead > (model_.device() ? 0 : 1);", "return n_ahead > 0;"),
    ("a prompt that was passed over does not go first", "runtime/decoding/scheduler_batch.cc", "const int rank = starves ? 0 : ", "const int rank = "),
    ("the hidden state of a token that is ahead of its time", "runtime/decoding/scheduler_entry.cc", "  current = 1 - current;\n", ""),
    ("speech: rotation of all heads of the DiT", M + "dit.cc", "{first.data, first.stride, 1, first.head_dim}", "first"),
    ("speech: no look back", M + "dit.cc", "begin - l.look_backward * block)", "begin)"),
    ("speech: look ahead everywhere", M + "dit.cc", "begin + (1 + l.look_ahead) * block)", "begin + 2 * block)"),
    ("speech: guidance has the other sign", M + "dit_stream.cc", "1 + g}, {v.rows(v.dim(0) - c.n, v.dim(0)), -g}", "1 - g}, {v.rows(v.dim(0) - c.n, v.dim(0)), g}"),
    ("speech: no sway", M + "dit_stream.cc", "constexpr float kSway = -1;", "constexpr float kSway = 0;"),
    ("speech: a point more", M + "dit_stream.cc", "i + 1 < settings_.points; ++i", "i < settings_.points; ++i"),
    ("speech: nobody says the codes", M + "dit.cc", "ops::embedding(on_host, with_codes ? codes : none, codec_embed_)", "ops::embedding(on_host, codes, codec_embed_)"),
    ("speech: scale and shift of the last norm exchanged", M + "dit.cc", ": Norm{shift, shift + hidden};", ": Norm{shift + hidden, shift};"),
    ("speech: linear alpha", M + "bigvgan.cc", "s.alpha.f32()[k] = std::exp(s.alpha.f32()[k]);", ""),
    ("speech: no floor in dB", M + "bigvgan.cc", "std::max(std::exp(mel.f32()[i]), floor)", "std::exp(mel.f32()[i] * 0.999f)"),
    ("speech: end of text missing", M + "voice.cc", "std::exchange(text_ended_, true) ? c.text_pad : c.text_end", "std::exchange(text_ended_, true) ? c.text_pad : c.text_pad"),
    ("speech: end of text repeated", M + "voice.cc", "std::exchange(text_ended_, true) ? c.text_pad : c.text_end", "c.text_end"),
    ("speech: codec pad row missing", M + "voice.cc", "ops::add_(cx, bos, voice_.talker_.codec_embed(cx, c.codec_pad));", ""),
    ("speech: the last block is not kept", M + "dit_stream.cc", "    ops::copy_(cx, past, kept);\n", ""),
    ("speech: two blocks ahead", "runtime/models/interface/voice.h", "look_ahead = 3;", "look_ahead = 2;"),
    ("speech: noise of the chunk, not of the utterance", M + "dit_stream.cc", "noise_(done_ + i,", "noise_(i,"),
    ("speech: the vocoder's reach is too short", M + "bigvgan.cc", "return reach + 3;", "return reach / 5;"),
    ("speech: branches see one another", M + "dit.cc", "branch * (n_before + n) + n_before + from", "n_before + from"),
    ("speech: the first branch's neighbours for both", M + "dit.cc", "before.rows(slot + b * block, slot + (b + 1) * block)", "before.rows(slot, slot + block)"),
    ("speech: the time of the step before", M + "dit_stream.cc", "slope(cx, c, x, 3 * step + i,", "slope(cx, c, x, 3 * step,"),
    ("speech: pieces of a prompt on one another", M + "voice.cc", "      at += values.dim(0);\n", ""),
    ("speech: the Talker reads before the rows are there", M + "voice.cc", "    if (rows.made) cx.arena.queue().run_behind(*rows.made);\n", ""),
    ("speech: media with their embeddings", "runtime/decoding/scheduler_batch.cc", "n_text = part.n_given() ? part.n_before : n;", "n_text = n;"),
    ("rows that are kept again when they are gone", "runtime/decoding/sequence.cc", "  kept_.truncate(mark.length);\n", ""),
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
    ("qwen3_vl: levels of DeepStack in the order of the list", Q + "deepstack_visual.cc", "put(++level, merge(cx, deepstack_mergers_[size_t(m)], x, true));", "put(1 + m, merge(cx, deepstack_mergers_[size_t(m)], x, true));"),
    ("qwen3_vl: DeepStack a layer late", Q + "text_model.cc", "const Tensor& level = r.deep.levels[layer];", "const Tensor& level = r.deep.levels[layer ? layer - 1 : 0];"),
    ("qwen3_vl: DeepStack from the first row on", "runtime/decoding/scheduler_batch.cc", "deep_features(cx, media, model_.hidden(), p.n_before)", "deep_features(cx, media, model_.hidden(), 0)"),
    ("qwen3_vl: mergers of inner blocks norm each patch", Q + "deepstack_visual.cc", "put(++level, merge(cx, deepstack_mergers_[size_t(m)], x, true));", "put(++level, merge(cx, deepstack_mergers_[size_t(m)], x, false));"),
    ("qwen3_vl: axes section after section", N + "config.cc", "c.text.qk_norm = c.text.mrope_interleaved = true;", "c.text.qk_norm = true;"),
    ("qwen3_vl: axes take turns to the end", Q + "text_model.cc", "return frequency < 3 * c.mrope_section[size_t(axis)] ? axis : 0;", "return axis;"),
    ("qwen3_vl: queries and keys as projected", N + "config.cc", "c.text.qk_norm = c.text.mrope_interleaved = true;", "c.text.mrope_interleaved = true;"),
    ("qwen3_vl: learned positions at the centres of patches", Q + "deepstack_visual.cc", "const float at = float(index) * float(side - 1) / float(std::max<int64_t>(size - 1, 1)),", "const float at = std::max(0.f, (float(index) + 0.5f) * float(side) / float(size) - 0.5f),"),
    ("qwen3_vl: learned positions row by row", Q + "deepstack_visual.cc", "place(th * merge + mh, tw * merge + mw);", "place(th * merge + mw, tw * merge + mh);"),
    ("qwen3_vl: nearest learned position", Q + "deepstack_visual.cc", "1 - (at - floor), at - floor};", "1, 0};"),
    ("qwen3_vl: the towers' full GELU", Q + "deepstack_visual.cc", "ops::gelu_tanh_", "ops::gelu_"),
    ("qwen3_vl: time of the first frame", N + "chat_template.cc", " + s.frames_apart / 2;", ";"),
    ("qwen3_vl: an odd frame has a middle", "runtime/session/video_tokenizer.cc", "      frames_apart_ = 0;\n", ""),
    ("qwen3_vl: time starts anew when the window slides", N + "chat_template.cc", "  cursor.departed += gone.time;\n", ""),
    ("qwen3_vl: frames lie side by side", N + "chat_template.cc", "{base + t, base + h, base + w}", "{t, base + h, base + w}"),
    ("qwen3_vl: limits of a video are those of a frame", Q + "deepstack_visual.cc", "limits.frames > 1\n", "false\n"),
    ("experts: probabilities as they are", "runtime/models/qwen/config.cc", "c.norm_topk_prob = j.boolean_or(\"norm_topk_prob\", true);", "c.norm_topk_prob = false;"),
    ("experts: normalised over all experts", "runtime/ops/cpu/experts.cc", "  if (normalize)\n    for (int64_t k = 0; k < top_k; ++k) weights[k] /= sum;", "  if (normalize && sum < 0) weights[0] = sum;"),
    ("experts: the least likely", "runtime/ops/cpu/experts.cc", "probabilities[e] > probabilities[best]))", "probabilities[e] < probabilities[best]))"),
    ("experts: of equals the last", "runtime/ops/cpu/experts.cc", "probabilities[e] > probabilities[best]))", "probabilities[e] >= probabilities[best]))"),
    ("experts: weights of another row", "runtime/ops/cpu/backend.cc", "to[slot / top_k * n + c] += from[i * n + c] * w[slot];", "to[slot / top_k * n + c] += from[i * n + c] * w[slot % top_k];"),
    ("experts: one expert less", "runtime/models/qwen/text_model.cc", "MixtureOfExperts::Options{c.experts.n, c.experts.per_token, hidden,", "MixtureOfExperts::Options{c.experts.n, std::max(1, c.experts.per_token - 1), hidden,"),
    ("experts: sparse layers from the first on", "runtime/models/qwen/config.h", "(index + 1) % decoder_sparse_step == 0", "index % decoder_sparse_step == 0"),
    ("experts: dense layers have some", "runtime/models/qwen/config.h", " && !mlp_only_layers.contains(index);", ";"),
    ("experts: a stack as it lies", "runtime/io/weights.cc", "const bool is_transposed = get(name).shape() != Shape{n, n_out, n_in};", "const bool is_transposed = get(name).shape() == Shape{n, n_out, n_in};"),
    ("experts: the router is rounded", "runtime/layers/experts.cc", "gate_(w.with(Precision::float32), {{", "gate_(w, {{"),
    ("experts: steps are recorded", Q + "text_model.cc", "const bool is_fixed = config_.experts.n == 0 && std::none_of", "const bool is_fixed = std::none_of"),
    ("experts: a kernel's least likely", K + "experts.cu", "return a.logit > b.logit || (!(b.logit > a.logit)", "return a.logit < b.logit || (!(b.logit < a.logit)"),
    ("experts: a kernel picks one twice", K + "experts.cu", "if (best.expert % 32 == lane) taken |=", "if (best.expert % 32 == 0) taken |="),
    ("experts: a kernel sums over its lane alone", K + "experts.cu", "      whole = warp_sum(whole);\n", ""),
    ("experts: a kernel's weights of another row", K + "experts.cu", "y[slot / top_k * width + i % width] += x[i] * weights[slot];", "y[slot / top_k * width + i % width] += x[i] * weights[slot % top_k];"),
    ("qwen3_vl: boxes in pixels", N + "chat_template.h", "Coordinates::thousandths;", "Coordinates::resized_pixels;"),
    ("qwen3_omni: pieces without positions", O + "audio_tower.cc", "  ops::add_(cx, x, positional_embedding_);\n", ""),
    ("qwen3_omni: a piece attends to itself alone", O + "audio_tower.cc", "spec_{c.num_mel_bins, c.n_window_infer,", "spec_{c.num_mel_bins, 2 * c.n_window,"),
    ("qwen3_omni: convolutions see no zeros ahead", O + "audio_tower.cc", "for (int64_t at = 2 * t - 1; at <= 2 * t + 1; ++at)", "for (int64_t at = 2 * t; at <= 2 * t + 2; ++at)"),
    ("qwen3_omni: bands for time in a kernel", O + "audio_tower.cc", "file.f32()[((o * c_in + c) * kKernel + f) * kKernel + t];", "file.f32()[((o * c_in + c) * kKernel + t) * kKernel + f];"),
    ("qwen3_omni: conv_out band after band", O + "audio_tower.cc", "file.f32()[(o * channels + c) * bands + b];", "file.f32()[(o * bands + b) * channels + c];"),
    ("qwen3_omni: projected as it is", O + "audio_tower.cc", "  ops::gelu_(cx, h, proj2_.operand());\n", ""),
    ("qwen3_omni: zeros behind a clip", O + "audio_tower.cc", "LogMel::Tail::reflects}", "LogMel::Tail::zeros}"),
    ("qwen3_omni: a reflected tail has a frame more", "runtime/tokenizers/audio/log_mel.cc", "tail_ == Tail::zeros ? kHop - 1 : 0;", "kHop - 1;"),
    ("qwen3_omni: the last sample twice", "runtime/tokenizers/audio/log_mel.cc", "i = 2 * (n_samples_ - 1) - i;", "i = 2 * n_samples_ - 1 - i;"),
    ("qwen3_omni: a window of sound is a segment", "runtime/session/audio_tokenizer.cc", "const int most = spec.segment_frames ? spec.segment_frames : n;", "const int most = n;"),
    ("qwen3_omni: each segment has the first one's rows", "runtime/session/audio_tokenizer.cc", "      token += s.n_tokens;\n", ""),
    ("qwen3_omni: what follows is behind the longest block", O + "chat_template.cc", "  if (is_image || cursor.block != s.modality) cursor.next = 0;\n", ""),
    ("qwen3_omni: a run begins with its markers", O + "chat_template.cc", "rows = chat_.text(cursor, {ids});\n  cursor.run_base = cursor.next;", "cursor.run_base = cursor.next;\n  rows = chat_.text(cursor, {ids});"),
    ("qwen3_omni: media without time", O + "chat_template.cc", "const double index = is_image ? 0 : ids_in(s.start - run_start);", "const double index = 0 * double(run_start);"),
    ("qwen3_omni: pictures have a time", O + "chat_template.cc", "const double index = is_image ? 0 : ids_in(s.start - run_start);", "const double index = ids_in(s.start - run_start);"),
    ("qwen3_omni: rows and columns slide with the time", O + "chat_template.cc", "{ids, 0, 0}", "{ids, ids, ids}"),
    ("qwen3_omni: two seconds side by side", O + "chat_template.h", "return kSecond;", "return 2 * kSecond;"),
    ("qwen3_omni: axes section after section", O + "config.cc", "c.text.qk_norm = c.text.mrope_interleaved = true;", "c.text.qk_norm = true;"),
    ("qwen3_omni: a voice that is not read needs memory", "runtime/engine/checkpoint.cc", "    if (is_of_voice && !speaks) return;\n", ""),
    ("qwen3_vl: the thought is told", "runtime/session/dialogue.cc", "bool thinks = end_of_thought.has_value();", "bool thinks = false;"),
    ("sampling is asked for though the checkpoint does not sample", "runtime/engine/engine.cc", "  if (!generation.boolean_or(\"do_sample\", false)) return;\n", ""),
    ("audio pads of what does not hear", "elements/common/gstomnicontext.cc", "if (abilities.audio) return true;", "return true;"),
    ("whisper: tanh GELU", "runtime/layers/encoder.cc", "ops::gelu_(cx, h, fc2_.operand());", "ops::gelu_tanh_(cx, h, fc2_.operand());"),
    ("whisper: positions of the decoder start anew", "runtime/models/whisper/decoder.cc", "embed_positions_.rows(n_past, n_past + n)", "embed_positions_.rows(0, n)"),
    ("whisper: alignment of the wrong layer", "runtime/models/whisper/decoder.cc", "if (of_layer != layer) continue;", "if (of_layer != layer && of_layer != 0) continue;"),
    ("whisper: median of five", "runtime/transcription/word_times.cc", "constexpr int kMedian = 7;", "constexpr int kMedian = 5;"),
    ("long form: all of a text that ends with a single time stamp is written again", "runtime/transcription/long_form.cc", "  } else if (single_timestamp_ending) {", "  } else if (false) {"),
    ("long form: the last time stamp of a text without segments is not its end", "runtime/transcription/long_form.cc", "      if (is_time(i) && state(i) > 0) to = state(i);\n", "      ;\n"),
    ("long form: what is cut stays", "runtime/transcription/long_form.cc", "    step.seek = std::min(n_frames, step.segments.back().to * frames_per_state);", "    step.seek = n_frames;"),
    ("long form: one frame a state", "runtime/transcription/long_form.cc", "step.segments.back().to * frames_per_state", "step.segments.back().to"),
    ("long form: silence behind the sound, not zeros", "runtime/transcription/long_form_transcriber.cc", "mel.resize(size_t(window_frames() * model_.n_mels()), 0.f);", "mel.resize(size_t(window_frames() * model_.n_mels()), (highest_ - 4) / 4);"),
    ("long form: a frame is left out at each seek", "runtime/transcription/long_form_transcriber.cc", "    seek_ += n;\n", "    seek_ += n - 1;\n"),
    ("long form: words of no length", "runtime/transcription/word_times.cc", "    bounds[i] = std::min(bounds[i], bounds[i + 1] - least);", "    bounds[i] = std::min(bounds[i], bounds[i + 1]);"),
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
    ("cuda: one element past the row", K + "rms_norm.cu", "i < width; i += kNormThreads) assign(y[i]", "i <= width; i += kNormThreads) assign(y[i]"),
    ("cuda: variance around zero", K + "layer_norm.cu", "squares += (x - mean) * (x - mean);", "squares += x * x;"),
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
    ("cuda: attention: weights read before the warp has written them", K + "attention_step.h", "= e;\n  __syncwarp();", "= e;"),
    ("cuda: attention: weights written while the warp reads them", K + "attention_step.h", "    part[p] = part[p] * shrink + more;\n  }\n  __syncwarp();", "    part[p] = part[p] * shrink + more;\n  }"),
    ("cuda: attention: keys behind the range", K + "attention.cu", "min(kKeys, tile.n_keys - begin)", "kKeys"),
    ("cuda: attention: sums not shrunk with the maximum", K + "attention_step.h", "sum = sum * shrink + warp_sum(e);", "sum = sum + warp_sum(e);"),
    ("cuda: linear: tiles written while they are read", K + "linear.cu", "    __syncthreads();  // the tiles may still be read\n", ""),
    ("cuda: linear: a row too many", K + "linear.cu", "first_row + row + i < n && output", "first_row + row + i <= n && output"),
    ("cuda: narrow: what fills a row up is whatever lies there", K + "elementwise.cu", "column < width ? x[row * width + column] : 0.f", "x[row * width + column]"),
    ("cuda: few rows: a warp's part twice", K + "linear_few.cu", "begin = warp * kStep + 8 * pair;", "begin = warp / 2 * 2 * kStep + 8 * pair;"),
    ("cuda: few rows: sums written while they are read", K + "linear_few.cu", "    if (first + at_once < share.n) __syncthreads();  // these sums are read\n", ""),
    ("cuda: few rows: what comes next is of this tile", K + "linear_few.cu", "next_at = copied_at, next_tile += kTile;", "next_at = copied_at;"),
    ("cuda: few rows: in the place of the sum", K + "linear_few.cu", "return into == Into::sum ? *place(i) : bias", "return bias"),
    ("cuda: few rows: the gate is not bent", K + "linear_few.cu", "value / (1.f + __expf(-value)) * up", "value * up"),
    ("cuda: few rows: sums read before they are there", K + "linear_few.cu", "    __syncthreads();\n    for (int i = me; i < n * n_here;", "    for (int i = me; i < n * n_here;"),
    ("cuda: few rows: every tile's sums in the first one's place", K + "linear_few.cu", "tile / kTile * kOutputs + group", "group"),
    ("cuda: few rows: a stage that is not there yet", K + "linear_few.cu", "wait_for_copies<kStages - 1>();", "wait_for_copies<kStages>();"),
    ("cuda: few rows: read before other lanes have copied it", K + "linear_few.cu", "        __syncwarp();  // other lanes copied them\n", ""),
    ("cuda: few rows: copied over what other lanes read", K + "linear_few.cu", "        __syncwarp();  // the others may still read them\n", ""),
    ("cuda: few rows: the second rows of a copy are the first ones", K + "linear_few.cu", "row + part * kCopiedRows * n_in,", "row,"),
    ("cuda: paged step: every head counts for all", K + "paged_step.cu", "kStepCounters + h.head + warp, n", "kStepCounters, n"),
    ("cuda: few rows: the norm's weights are not there yet", K + "linear_few.cu", "    wait_for_copies<kStages>();\n", ""),
    ("cuda: few rows: normed rows that are not there yet", K + "linear_few.cu", "    }\n  }\n  __syncthreads();\n}\n\n// Where a chunk", "    }\n  }\n}\n\n// Where a chunk"),
    ("cuda: few rows: squares that are not there yet", K + "linear_few.cu", "= sum;\n    }\n    __syncthreads();\n", "= sum;\n    }\n"),
    ("cuda: few rows: the last values of a long row for all of it", K + "linear_few.cu", "if (i != last) read(i);", ""),
    ("cuda: pages: values rotated, too", K + "rotate.cu", "const bool is_key = head < s.n_heads + s.n_kv_heads;", "const bool is_key = true;"),
    ("cuda: rotary: one axis for all", K + "rotary_table.cu", "axis[axis[k]]", "axis[0]"),
    ("cuda: linear: tensor tiles written while they are read", K + "linear.cu", "    __syncthreads();  // the tiles may still be read\n    *reinterpret_cast", "    *reinterpret_cast"),
    ("cuda: linear: fragments of the wrong half", K + "linear.cu", "pair + k / 2 * 4];", "pair + k % 2 * 4];"),
    ("cuda: linear: rows of the tile behind the end", K + "linear.cu", "has_row = first_row + row < n;", "has_row = true;"),
    ("cuda: integers: four bits without their zero", K + "linear_quantized.cu", "of_one += scale.zero * of_x[j][g][i];", "of_one -= 24 * of_x[j][g][i];"),
    ("cuda: integers: eight bits without a sign", K + "integers.h", "masked_onto<0x0080'0080, k128 | kNegative>(bytes));", "k128 | kNegative);"),
    ("cuda: integers: all groups of a step scaled as the first", K + "linear_quantized.cu", "scales[half * kBlockOutputs * kGroups + g]", "scales[half * kBlockOutputs * kGroups]"),
    ("cuda: integers: scales read before the other lanes' copies are there", K + "linear_quantized.cu", "    __syncwarp();  // the scales were copied by other lanes\n", ""),
    ("cuda: integers: scales overwritten while others read them", K + "linear_quantized.cu", "    __syncwarp();  // the others may still read them\n", ""),
    ("cuda: integers: a step read before it is there", K + "linear_quantized.cu", "wait_for_copies<kAhead - 1>();", "wait_for_copies<kAhead>();"),
    ("cuda: integers: squares of warps that are not there", K + "linear_quantized.cu", "if (t < kNormWarps * n && t % kNormWarps >= cut.n_warps) squares[t] = 0;", ""),
    ("cuda: integers: squares read before all are there", K + "linear_quantized.cu", "squares[row * kNormWarps + warp] = sum;\n    }\n    __syncthreads();\n", "squares[row * kNormWarps + warp] = sum;\n    }\n"),
    ("cuda: integers: normed rows of the other lanes not waited for", K + "linear_quantized.cu", "two_bf16(x4.z * f * gain.z, x4.w * f * gain.w)};\n    }\n    __syncwarp();\n", "two_bf16(x4.z * f * gain.z, x4.w * f * gain.w)};\n    }\n"),
    ("cuda: integers: sums written while others read them", K + "linear_quantized.cu", "sums == partial ? partial + cut.n_warps * kSums : partial;", "partial;"),
    ("cuda: integers: sums read before all are there", K + "linear_quantized.cu", "      clear(sum);\n      __syncthreads();\n", "      clear(sum);\n"),
    ("cuda: integers: sums of the tile before", K + "linear_quantized.cu", "      clear(sum);\n      __syncthreads();\n", "      __syncthreads();\n"),
    ("cuda: integers: rows that are not there", K + "linear_quantized.cu", "makes = my_output < outputs && my_row < n;", "makes = my_output < outputs;"),
    ("cuda: integers: inputs behind the row", K + "linear_quantized.cu", "kWhole || at + 8 * pair < w.n_in", "true"),
    ("cuda: integers: up is gate", K + "linear_quantized.cu", "silu ? n_outputs / kBlockOutputs : 1", "1"),
    ("cuda: integers: tiles: a stage multiplied before all threads' copies are there", K + "linear_quantized_tiles.cu", "    __syncthreads();  // all threads' copies are there, and the stage before is multiplied\n", ""),
    ("cuda: integers: tiles: a step that is not there yet", K + "linear_quantized_tiles.cu", "wait_for_copies<kStages - 2>();", "wait_for_copies<kStages - 1>();"),
    ("cuda: integers: tiles: rows behind the last", K + "linear_quantized_tiles.cu", "if (row >= n) continue;", ""),
    ("cuda: integers: tiles: rows behind the last are read", K + "linear_quantized_tiles.cu", "has && first_row + fetch_row + row < n);", "has);"),
    ("cuda: integers: tiles: each part is all of it", K + "linear_quantized_tiles.cu", "end = int(int64_t(cut.n_steps) * (part + 1) / cut.n_parts);", "end = cut.n_steps;"),
    ("cuda: integers: tiles: one part is left out", K + "linear_quantized_tiles.cu", "for (int part = 0; part < n_parts; ++part) total", "for (int part = 1; part < n_parts; ++part) total"),
    ("cuda: integers: tiles: neighbouring rows changed over", K + "linear_quantized_tiles.cu", "((4 * c + pair) ^ row % 2 * 4)", "(4 * c + pair)"),
    ("cuda: integers: tiles: all groups scaled as the first", K + "linear_quantized_tiles.cu", "* kGroups + c / kShare]", "* kGroups]"),
    ("cuda: host: integers of x in its own order", "runtime/ops/cuda/linear.cc", "w.integers() ? w.integers()->inputs() : nullptr", "nullptr"),
    ("cuda: host: scales without their unit", "runtime/ops/cuda/integer_weight.cc", "to_float16(scale / unit)", "to_float16(scale)"),
    ("cuda: host: a part with more groups than the first", "runtime/ops/cuda/integer_weight.cc", "groups = std::max(groups, groups_of(w));", "groups = groups_of(w);"),
    ("cuda: unfold: reflects at the wrong sample", K + "convolution.cu", "2 * (n_in - 1) - at", "2 * n_in - 1 - at"),
    ("cuda: snake: one sample short", K + "snake_beta.cu", "i < kUpsampled &&", "i < kUpsampled - 1 &&"),
    ("cuda: patches: components mixed up in shared memory", K + "patches.cu", "    __syncthreads();  // the component before is still read\n", ""),
    ("cuda: patches: samples behind the edge", K + "patches.cu", "&& first + t <= last; ++t", "; ++t"),
    ("cuda: host: staging reused while it is being copied", "runtime/ops/cuda/cuda_device.cc", "if (staged_ == kStaging) wait();", "if (staged_ == kStaging) staged_ = 0;"),
    ("cuda: host: uploads share their staging", "runtime/ops/cuda/cuda_device.cc", "done += n, staged_ += n;", "done += n;"),
    ("cuda: host: a frame given back before it was read", "runtime/tokenizers/video/device_patches.cc", "  if (frame.on_device) arena.queue().wait();\n  else ", "  if (!frame.on_device) "),
    ("cuda: host: one query looks at the first keys", "runtime/ops/cuda/cuda_backend.cc", "one_over(cx, q, k.from(r.first_key), v.from", "one_over(cx, q, k, v.from"),
    ("cuda: host: joined weights overlap", "runtime/ops/cuda/cuda_weight.cc", "row < part.n_out; ++row, to += row_bytes)", "row < part.n_out; ++row)"),
    ("cuda: host: tiles of a range begin anew", "runtime/ops/cuda/cuda_backend.cc", "tiles.push_back({begin, r.first_key,", "tiles.push_back({begin, begin,"),
    ("cuda: host: a step that was recorded for another shape", "runtime/models/interface/forward_workspace.cc", "step.x.defined() && step.shape == shape && step.variant == variant;", "step.x.defined();"),
    ("cuda: host: recorded for another shape", "runtime/layers/recorded.cc", "(!a.defined() || (a.dtype() == b.dtype() && a.shape() == b.shape()))", "(!a.defined() || a.dtype() == b.dtype())"),
    ("cuda: host: what was recorded reads the first inputs", "runtime/layers/recorded.cc", "  for (size_t i = 0; i < inputs.size(); ++i) put(", "  for (size_t i = 0; !e.recording && i < inputs.size(); ++i) put("),
    ("cuda: host: constants of a recording on one another", "runtime/ops/cuda/cuda_device.cc", "  slab_->used += constants.values.size();\n", ""),
    ("cuda: host: other constants of the same size", "runtime/ops/cuda/cuda_device.cc", "size == bytes && std::memcmp(all.data() + offset, values, bytes) == 0", "size == bytes"),
    ("cuda: host: the row of the step before", "runtime/models/interface/forward_workspace.cc", "  ops::copy_(cx, step.x, x);\n  const auto whole", "  if (!step.recording) ops::copy_(cx, step.x, x);\n  const auto whole"),
    ("cuda: host: computes before the frame has arrived", "runtime/tokenizers/video/device_patches.cc", "  arena.queue().run_behind(*slot.arrived);\n", ""),
    ("cuda: host: a frame overwritten while it is read", "runtime/tokenizers/video/device_patches.cc", "  copies_->run_behind(*slot.read);\n", ""),
    ("cuda: sample: of equals the last", K + "sample.cu", "return Choice(key) << 32 | ~uint32_t(id);", "return Choice(key) << 32 | uint32_t(id);"),
    ("cuda: sample: digits looked at before they are counted", K + "sample.cu", "& (kDigits - 1)], 1);\n    });\n    __syncthreads();", "& (kDigits - 1)], 1);\n    });"),
    ("cuda: sample: digits counted anew while they are looked at", K + "sample.cu", "    __syncthreads();  // `count` is still read\n", ""),
    ("cuda: sample: what is unlikely becomes likelier when it is seen", K + "sample.cu", "score < 0 ? score * row.penalty : score / row.penalty", "score / row.penalty"),
    ("cuda: sample: the best of half a group", K + "sample.cu", "better(c[2], c[3])), kLanes / 2);", "better(c[2], c[3])), kLanes / 4);"),
    ("cuda: sample: one group too few", K + "sample.cu", "if (best[i] && best[i] >= bound)", "if (best[i] && best[i] > bound)"),
    ("cuda: sample: a bound that too few reach", K + "sample.cu", "reached < wanted && (reached + n >= wanted", "reached <= wanted && (reached + n > wanted"),
    ("cuda: sample: more choices than there is room for", K + "sample.cu", "if (place < kRoom) choices", "choices"),
    ("cuda: sample: a bound that too few reach", K + "sample.cu", "reached + count[digit] < wanted; --digit", "reached + 2 * count[digit] < wanted; --digit"),
    ("cuda: sample: what is no choice stands first", K + "sample.cu", "const int place = c ? atomicAdd(&n_found[1], 1) : kRoom;\n        if (place < kRoom) choices", "const int place = c ? atomicAdd(&n_found[1], 1) : 0;\n        if (place < kRoom) choices"),
    ("cuda: sample: the first that have room, not the best", K + "sample.cu", "if (n <= kRoom) break;", "n = min(n, kRoom);\n      break;"),
    ("cuda: sample: the whole of what was allowed", K + "sample.cu", "__expf(share[i].highest - highest);", "1.f;"),
    ("cuda: sample: a part without numbers spoils the rest", K + "sample.cu", "highest == -INFINITY ? 0 : highest;", "highest;"),
    ("cuda: sample: a token that top_p leaves out", K + "sample.cu", "return min(kept - 1, int(block_sum(me < kept && mine <= draw, partial)));", "return min(k - 1, int(block_sum(me < k && mine <= draw * 2, partial)));"),
    ("cuda: sample: every sequence draws from the first row", K + "sample.cu", "logits + int64_t(o.row) * vocabulary;", "logits;"),
    ("cuda: host: sample: all have the first one's mask", "runtime/ops/cuda/cuda_backend.cc", "return bits.empty() ? -1 : int(at);", "return bits.empty() ? -1 : 0;"),
    ("device draws: a number for the likeliest, too", "runtime/decoding/sampler.cc", "  if (o.temperature > 0)\n    s.top_k", "  s.draw = float(draw());\n  if (o.temperature > 0)\n    s.top_k"),
    ("device draws: everybody's from the first sequence's logits", "runtime/decoding/scheduler.cc", "samplings[i]->row = int64_t(i);", "samplings[i]->row = 0;"),
    ("cuda: log_mel: bands of a power that is not there yet", K + "log_mel.cu", "    power[me] = re * re + im * im;\n  }\n  __syncthreads();", "    power[me] = re * re + im * im;\n  }"),
    ("cuda: host: cuBLASLt without the bias", "runtime/ops/cuda/linear.cc", "b != nullptr, into},", "false, into},"),
    ("cuda: host: cuBLASLt with what is not aligned", "runtime/ops/cuda/linear.cc", "    if (reinterpret_cast<uintptr_t>(p) % Products::kAlign) return false;\n", "    (void)p;\n"),
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
    ("cuda: paged decode: a lane's stretches begin where the last one's ended", K + "paged_stretch.h", "    stretch -= n;\n", ""),
    ("cuda: paged stretch: keys behind the end", K + "stretch_mma.h", "key_of(i) < n && d < head_dim ? load_once(at(key_of(i), s.keys, d))", "d < head_dim ? load_once(at(key_of(i), s.keys, d))"),
    ("cuda: paged stretch: what rounding left of the queries is forgotten", K + "stretch_mma.h", "a[1] = rest_of(f[0], f[1], a[0]), a[3]", "a[3]"),
    ("cuda: paged stretch: warps joined without their maxima", K + "stretch_mma.h", "share[w] = __expf(of.highest[w * kStretchHeads + warp] - top);", "share[w] = 1;"),
    ("cuda: paged stretch: sums read before they are there", K + "paged_stretch.cu", "  __syncthreads();\n  if (warp >= h.n_heads) return;", "  if (warp >= h.n_heads) return;"),
    ("cuda: paged stretch: rows of the page before", K + "stretch_mma.h", "row / kPageRows == first_page ? pages[0] : pages[1]", "pages[0]"),
    ("cuda: paged step: the token's own row is read before it is there", K + "paged_step.cu", "own < 0 ? n_mine : own, h.kv_head", "n_mine, h.kv_head"),
    ("cuda: paged step: queries that are not there yet", K + "paged_step.cu", "has_own ? page : nullptr, s, scale);\n  __syncthreads();", "has_own ? page : nullptr, s, scale);"),
    ("cuda: paged step: sums read before they are there", K + "paged_step.cu", "attend_to_keys(keys, n_mine, query, shared);\n  }\n  __syncthreads();", "attend_to_keys(keys, n_mine, query, shared);\n  }"),
    ("cuda: paged step: every stretch ends with the token's own row", K + "paged_step.cu", "tables[rows.table + last / kPageRows] == slot.page && last % kPageRows == int(slot.row);", "true;"),
    ("cuda: paged step: the own row is not stored", K + "paged_step.cu", "if (!h.is_first) continue;", "continue;"),
    ("cuda: paged step: each part of a group stores the own row", K + "paged_step.cu", "if (!h.is_first) continue;", ""),
    ("cuda: paged step: every lane's angles are the first one's", K + "paged_step.cu", "of_q = angles_of(of, lane);", "of_q = angles_of(of, 0);"),
    ("cuda: paged step: keys turn as queries do", K + "paged_step.cu", "sin[j] = turns ? (is_query ? of_q : of.k_angles).sin[angle] : 0;", "sin[j] = turns ? of_q.sin[angle] : 0;"),
    ("cuda: paged step: joined before all are there", K + "paged_step.cu", "h.head + warp, n_stretches))", "h.head + warp, 1))"),
    ("cuda: paged step: the second eight stretches are forgotten", K + "paged_step.cu", "    if (first >= n) break;", "    if (first > 0) break;"),
    ("cuda: paged step: stretches joined without their maxima", K + "paged_step.cu", "my_share = __expf(own.x - warp_max(own.x));", "my_share = 1;"),
    ("cuda: a counter that is not set back", "cuda/emu/launch.cc", "  if (is_last) *counter = 0;\n", ""),
    ("cuda: paged prefill: values multiplied before they are there", K + "paged_prefill.cu", "          wait_for_copies<1>();\n", ""),
    ("cuda: paged prefill: values written while they are read", K + "paged_prefill.cu", "      __syncthreads();  // keys and queries are there, the last page's values are read\n", ""),
    ("cuda: paged prefill: the next keys over those that are read", K + "paged_prefill.cu", "fetch_page<kWidth>(next_key, next", "fetch_page<kWidth>(key, next"),
    ("cuda: paged prefill: all see what the last query sees", K + "paged_prefill.cu", "at < last.first || at + kKeys > first_end", "at < last.first || at + kKeys > last_end"),
    ("cuda: paged prefill: what slid away is seen", K + "paged_prefill.cu", "at < last.first || at + kKeys > first_end", "at + kKeys > first_end"),
    ("cuda: paged prefill: every lane meets the first variant", K + "paged_prefill.cu", "of = of_lane(q, l);", "of = of_lane(q, 0);"),
    ("cuda: paged prefill: a lane's queries written while the last one's are read", K + "paged_prefill.cu", "    __syncthreads();  // the last lane's may still be read\n", ""),
    ("cuda: attention on tensor cores: sums stay when the highest moves", K + "attention_mma.h", "q.out[i][j][c] *= shrink[i][c / 2];", "q.out[i][j][c] *= 1;"),
    ("cuda: attention on tensor cores: weights of other keys", K + "attention_mma.h", "s[i][j + c / 2][c % 2 * 2], s[i][j + c / 2][c % 2 * 2 + 1]", "s[i][j + c % 2][c / 2 * 2], s[i][j + c % 2][c / 2 * 2 + 1]"),
    ("cuda: paged decode: stretches joined without their maxima", K + "paged_decode.cu", "share = __expf(one[0] - highest)", "share = 1.f"),
    ("cuda: paged decode: stretches that are not there are joined", K + "paged_decode.cu", "    n_stretches += stretches_of(seen[int64_t(token) * n_lanes + l]);", "    n_stretches = most_stretches;"),
    ("cuda: paged decode: heads of another part of the group", K + "paged_decode.cu", "head = kv_head * group + first_head;", "head = kv_head * group;"),
    ("cuda: host: pages: a graph for other batches", "runtime/ops/paged_batch.cc", "most_stretches ? int64_t(std::bit_ceil(uint64_t(most_stretches))) : 0", "1"),
    ("tokenizer: frames spread from the second on", "runtime/tokenizers/video/frame_sampler.cc", "at < index(next_)) return false;", "at <= index(next_)) return false;"),
    ("tokenizer: the rate of spread frames is not theirs", "elements/tokenizers/gstomnivideotokenizer.cc", "if (std::exchange(is_rate_due_, false)) look_at(recording_rate_());", ""),
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
    ("session: late slack removed", T + "timeline.cc", "segment.start + kSlack < begin()", "segment.start < begin()"),
    ("session: the last chunk has its full length", T + "timeline.cc", "if (reached + kSlack < end) chunk.span.duration = reached - begin();", ""),
    ("session: what ends a little early fills no chunk", T + "timeline.cc", "reached + kSlack >= time", "reached >= time"),
    ("session: live waits for a track that never comes", T + "timeline.cc", "(wait_for_all || *latest - *earliest < 2 * duration_)", "true"),
    ("session: live goes on as soon as a track is complete", T + "timeline.cc", "t->reaches(end + duration_)", "t->reaches(end)"),
    ("session: sound enters before the video of its chunk", T + "timeline.cc", "if (t->is_awaited() && !t->reaches(end)) return std::nullopt;", ""),
    ("vad: the context of a window is that of the one before", "runtime/vad/silero_vad.cc", "std::copy(window.end() - kContext, window.end(), state.context.begin());", ""),
    ("vad: the cell forgets nothing", "runtime/vad/silero_vad.cc", "forget * state.c[size_t(i)] + in * cell", "state.c[size_t(i)] + in * cell"),
    ("vad: the end of a window is not reflected", "runtime/vad/silero_vad.cc", "samples[size_t(n - 2 - i)]", "0"),
    ("vad: a pause counts from its last window", "runtime/vad/speech_segmenter.cc", "if (!silent_) silent_ = window;", "silent_ = window;"),
    ("vad: what is neither voice nor silence ends speech", "runtime/vad/speech_segmenter.cc", "if (!start_ || probability >= options_.neg_threshold) return", "if (!start_) return"),
    ("vad: a cough is speech", "runtime/vad/speech_segmenter.cc", "if (segment.end - segment.start <= options_.min_speech) return std::nullopt;", ""),
    ("vad: speech is told of with every window", "runtime/vad/turn_detector.cc", "is_told_ = true;", ""),
    ("vad: the gate looks from the window behind", "runtime/transcription/voice_gate.cc", "from / kWindow - first_, 0, n)", "from / kWindow + 1 - first_, 0, n)"),
    ("vad: the gate forgets a window too many", "runtime/transcription/voice_gate.cc", "(first_ + 1) * kWindow <= before", "first_ * kWindow <= before"),
    ("session: a cut is none", T + "timeline.cc", "if (!origin_ || time > begin() + kShortestCut) cuts_.push_back(time);", ""),
    ("session: live a turn waits for pictures", T + "timeline.cc", "far_ahead || (is_cut() && audio_.reaches(end))", "far_ahead"),
    ("session: after a turn what comes late is lost", T + "timeline.cc", "segment.start + kSlack < begin() - tolerated_", "segment.start + kSlack < begin()"),
    ("session: a turn is asked about before its sound is there", T + "turns.cc", "ended_.front().time <= place_.media_end + kSlack", "true"),
    ("session: a turn at the end is not asked about", T + "turns.cc", "place_.media_end = std::max(place_.media_end, ended_.back().time);", ""),
    ("session: a flush keeps turns", T + "session.cc", "state_->turns.forget_questions(); state_->turns.forget_ended();", "state_->turns.forget_questions();"),
    ("session: a voice does not barge in", T + "session.cc", "std::lock_guard guard(state_->lock); interrupted = barge_in(); }", "std::lock_guard guard(state_->lock); }"),
    ("session: live the newest is dropped", T + "inbox.cc", "t.waiting.front().segment;\n    admission.dropped = TimeSpan{oldest.start, oldest.duration};\n    t.waiting.pop_front();", "t.waiting.back().segment;\n    admission.dropped = TimeSpan{oldest.start, oldest.duration};\n    t.waiting.pop_back();"),
    ("session: a track runs ahead without bound", T + "inbox.cc", "return t.reached - slowest <= most_ahead_;", "return true;"),
    ("session: a track that has ended is waited for", T + "inbox.cc", "if (other->comes && !other->silent && !other->has_ended())", "if (other->comes && !other->silent)"),
    ("session: a track has ended before its last segment", T + "inbox.h", "return ended && waiting.empty();", "return ended;"),
    ("session: what was put behind a question is ahead of it", T + "inbox.cc", "t->waiting.front().number < n", "t->waiting.front().number <= n"),
    ("session: a flush forgets which tracks come", T + "inbox.cc", "*t = {.comes = t->comes, .begun = t->begun, .waiting = {}};", "*t = {.begun = t->begun, .waiting = {}};"),
    ("session: an interval that is complete waits", T + "turns.cc", "end < place_.asked_until + s.interval", "end <= place_.asked_until + s.interval"),
    ("session: the end asks again", T + "turns.cc", "std::exchange(end_asked_, true)", "end_asked_"),
    ("session: after a reset the end was asked already", T + "turns.cc", "  end_asked_ = false;\n}", "}"),
    ("session: a promise is over a moment early", T + "turns.cc", "*clock.now > turn.span.start", "*clock.now >= turn.span.start"),
    ("session: spoken text leaves again", T + "utterances.cc", "std::exchange(s.sent, true)", "s.sent"),
    ("session: what was interrupted was spoken", T + "utterances.cc", "++(end == SpeechEnd::interrupted ? n_interrupted_ : n_spoken_);", "++n_spoken_;"),
    ("session: matched objects are moved on", T + "answer_reader.cc", "if (tracking == Tracking::match)", "if (false)"),
    ("session: the window is a chunk too short", T + "dialogue_memory.cc", "chunks_[gone].start < oldest", "chunks_[gone].start <= oldest"),
    ("session: a question stays in the context", T + "dialogue.cc", "  else\n    sequence_.back_to(asked.context);\n", ""),
    ("memory: what lies behind a turn that has left stays where it was", T + "dialogue_memory.cc", "const Position shift{by, by, by};", "const Position shift{};"),
    ("memory: a mark behind a turn that has left stays where it was", T + "dialogue_memory.cc", "if (!chunks_.empty()) move(before_run_);", ""),
    ("memory: an answer stays where it was written", T + "dialogue_memory.cc", "rows.positions[same] == positions[size_t(at.length) + same]", "true"),
    ("memory: media behind an answer that was cut are lost", T + "dialogue_memory.cc", "for (const Since& s : since) take_in(s.chunk, s.segment);", ""),
    ("memory: chunks leave a run behind turns that stay", T + "dialogue_memory.cc", "(gone > 0 || held_turns_[turns].end <= oldest)", "held_turns_[turns].end < oldest - options_.context_duration"),
    ("memory: size is no bound", T + "dialogue_memory.cc", "(options_.most_rows == 0 || sequence_.length() + n_rows <= options_.most_rows)", "true"),
    ("memory: a question that fits nowhere empties it", T + "dialogue.cc", "forgot = alone <= text_.max_positions() &&", "forgot = "),
    ("memory: answers about objects are turns", T + "running_turn.cc", "turn_.question.remembered && !about_objects_", "turn_.question.remembered"),
    ("memory: an answer that was cut is whole", T + "session_thread.cc", "if (heard->is_all)", "if (true)"),
    ("memory: what is told too late counts", T + "session_thread.cc", "if (!turn) return std::nullopt;\n  for (const Heard& h : told)\n    if (h.turn == turn) return h;", "if (!turn) return std::nullopt;\n  for (const Heard& h : told) return h;"),
    ("memory: a word counts when it begins", T + "heard.cc", "if (unit.is_word && each * double(unit.n_before)", "if (unit.is_word && each * double(last ? unit.n_before - int64_t(unit.end - unit.begin) : unit.n_before)"),
    ("memory: a flush keeps the turns", T + "session_state.cc", "remembered.clear();", ""),
    ("memory: a saved page has rows of others", "runtime/models/interface/paged_state.cc", "end = std::min(end, ops::kPageRows);\n", "end = ops::kPageRows;\n"),
    ("memory: a loaded lane stands where it was stored", "runtime/models/interface/paged_state.cc", "lane.offset = rows.offset;", ""),
    ("memory: draws begin anew", T + "dialogue_file.cc", "random >> sampler_.random();", ""),
    ("memory: a loaded run has lost its last segments", T + "dialogue_file.cc", "from.require(newest_.back().n_tokens > 0);", "newest_.pop_back();"),
    ("memory: a clock that begins anew is late", T + "dialogue_file.cc", "for (HeldChunk& c : chunks_) c.start -= by;", ""),
    ("memory: another clock is not noticed", T + "timeline.cc", "return ahead >= -segment.duration / 2 && ahead <= duration_;", "return true;"),
    ("memory: what waits in a chunk is not saved", T + "timeline.cc", "saved.waiting.insert(saved.waiting.end(), t->waiting.begin(), t->waiting.end());", ""),
    ("memory: what was put is not saved", T + "session_thread_files.cc", "place.timeline.waiting.push_back(std::move(s));", "s = {};"),
    ("memory: a loaded chunk has lost its tracks", T + "timeline.cc", "early_tracks_ = saved.early_tracks;", ""),
    ("memory: the standing question is due anew", T + "turns.cc", "  place_ = place;\n", ""),
    ("memory: turns of a file have others' numbers", T + "turns.cc", "next_id_ = std::max(next_id_, next);", ""),
    ("memory: questions go ahead of files", T + "session_thread.cc", "w.id >= state_->files.front().first_turn) return true;", "false) return true;"),
    ("memory: files wait for what comes behind", T + "session_thread_files.cc", "state_->inbox.has_of_first(files.front().first_segment, live)", "state_->inbox.n_waiting() > 0"),
    ("memory: bytes of a file count as often as they are named", T + "archive.cc", "require(n_bytes_ <= file_->size());", ""),
    ("memory: files of any session are loaded", T + "session_file.cc", "if (from.text() != kind(checkpoint, dialogue))", "if (from.text().empty())"),
    ("memory: numbers of a file may be any", T + "archive.cc", "require(x >= lowest && x <= highest);\n  return x;", "return x;"),
    ("watching: everything is news", T + "watch.cc", "if (!is_first && is_same(*last_.meaning, meaning)) return false;", ""),
    ("watching: the first answer is news", T + "watch.cc", "return !is_first && !says_nothing;", "return !says_nothing;"),
    ("watching: what says nothing new is told", T + "watch.cc", "return !is_first && !says_nothing;", "return !is_first;"),
    ("watching: what drifts is compared with where it was last", T + "watch.cc", "if (!is_first && is_same(*last_.meaning, meaning)) return false;", "if (!is_first && is_same(*last_.meaning, meaning)) return last_.meaning = meaning, false;"),
    ("watching: two objects may have one partner", T + "watch.cc", "left.erase(partner);", ""),
    ("watching: values are compared as text", T + "watch.cc", "if (!schema.empty())", "if (false)"),
    ("watching: case counts", "runtime/tokenizers/text/fold.cc", " | UTF8PROC_CASEFOLD", ""),
    ("watching: an event is at the end of its chunk", T + "running_turn.cc", "if (is_news) find_beginning(meaning, reading);", ""),
    ("watching: pictures go on being asked about behind the first that says it", T + "dialogue.cc", "found = found || ask_then();", "found = ask_then() || found;"),
    ("watching: rows that are taken back are counted", T + "dialogue.cc", "  chunk.n_rows -= n_rows;\n", ""),
    ("watching: the picture is that of the chunk", T + "dialogue.cc", "  picture_ = seen(newest_.back());\n", ""),
    ("watching: places behind segments stay when the window slides", T + "dialogue_memory.cc", "for (Sequence::Mark& mark : behind_newest_) slide_mark(mark, rows, departed);", ""),
    ("watching: what is not new is remembered", T + "running_turn.cc", "is_news ? remembered_as_ : 0", "remembered_as_"),
    ("session: all that is asked again and again is spoken", T + "running_turn.cc", "settings_.speak_on == SpeakOn::always ||", "settings_.speak_on != SpeakOn::never ||"),
    ("watching: silence stops the time", T + "running_turn.cc", ".text = !about_objects_ && !speech_", ".text = false"),
    ("watching: what is not new is posted", E + "model/gstomnimodelrouter.cc", "if (done.is_news) post_answer(done);", "post_answer(done);"),
    ("memory: what was answered last is not saved", T + "session_thread_files.cc", "watches_ = std::move(place.watches);", ""),
    ("session: objects on the first frame of a pair", T + "dialogue.cc", "std::max<Nanoseconds>(0, s.duration - apart)", "0"),
    ("session: units of sound all begin at once", T + "audio_tokenizer.cc", "start_ + n_units_ * unit_duration(unit_)", "start_"),
    ("session: the loudest of all time is the floor", T + "audio_tokenizer.cc", "if (maxima_.size() > window_units_) maxima_.pop_front();", ""),
    ("session: low detail is full detail", T + "video_tokenizer.cc", "limits_.max / 4)", "limits_.max)"),
    ("session: half a pair survives a reset", T + "video_tokenizer.cc", "void reset() override { has_first_ = false; }", "void reset() override {}"),
    ("session: speech without an end goes on", T + "speech_stream.cc", " || n_codes_ >= most_codes()", ""),
    ("captions: short gaps are not closed", C + "caption_formatter.cc", "if (end < *next && *next - end < kLeastGap) end = *next;", ""),
    ("captions: captions overlap", C + "caption_formatter.cc", "std::max(mine.front().start, shown_until_)", "mine.front().start"),
    ("captions: a pause of just that length parts nothing", C + "caption_formatter.cc", "added.start - last.end >= layout_.pause", "added.start - last.end > layout_.pause"),
    ("captions: the shortest sentence stands alone", C + "caption_formatter.cc", "last.end - words_.front().start >= layout_.minimum_duration", "true"),
    ("captions: shown for longer than may be", C + "caption_formatter.cc", "std::min(std::max(layout_.minimum_duration, reading), layout_.maximum_duration)", "std::max(layout_.minimum_duration, reading)"),
    ("captions: time passes words that wait", C + "caption_formatter.cc", "std::min(now_, words_.front().start)", "now_"),
    ("captions: the end keeps who spoke", C + "caption_formatter.cc", "speaker_changed_ = sound_ = false;\n    return", "return"),
    ("captions: what came as one text begins at once", C + "caption_formatter.cc", "start + duration * before / whole, start +", "start, start +"),
    ("captions: lines end behind short words", C + "line_breaks.cc", "kBehindShortWord = 0.08", "kBehindShortWord = -0.08"),
    ("captions: two line ends of one CR LF", C + "caption_text.cc", "if (shown && !(before == '\\r' && c == '\\n'))", "if (shown)"),
    ("captions: times are cut off to milliseconds", C + "ebu_tt_d.cc", "(t + kSecond / 2000) / (kSecond / 1000)", "t / (kSecond / 1000)"),
    ("captions: an arrow ends a cue's time", C + "one_cue.cc", "out.insert(at + 2, 1, ' ');", "at += 3;"),
    ("captions: wiped though the next is about to come", C + "cea608_encoder.cc", "flip_at() <= n + 2", "flip_at() <= n"),
    ("captions: parts of a long text come at once", C + "cea608_encoder.cc", "begin + (end - begin) * int64_t(part) / int64_t(parts)", "begin"),
    ("captions: time goes back", C + "cea608_encoder.cc", "begin = std::max(begin, last_begin_);", ""),
    ("captions: columns by fours", C + "cea608_encoder.cc", "if (column % 4)", "if (false)"),
    ("captions: an odd last letter is lost", C + "cea608_encoder.cc", "    if (waiting) flush(0);\n  }", "  }"),
    ("captions: the lag of before stays", C + "cea608_encoder.cc", "lag_ = std::max<int64_t>(0, n - code.not_before);", "lag_ = std::max<int64_t>(lag_, n - code.not_before);"),
    ("streams: what lies behind the segment is kept", S + "gstomniinput.cc", "if (GST_CLOCK_TIME_IS_VALID(segment_.stop) && time >= segment_.stop) return true;", ""),
    ("streams: an end of flow outlives its stream", S + "gstomniinput.cc", "if (flow_ == GST_FLOW_EOS) flow_ = GST_FLOW_OK;", ""),
    ("streams: a recording is looked at before the checkpoint is there", S + "gstomniinput.cc", "while (state_ == Worker::starting && !live_ && data_result() == GST_FLOW_OK) changed_.wait(lock);", ""),
    ("streams: an end outlives a flush", S + "gstomniinput.cc", "clear(true);\n      ended_ = false;", "clear(true);"),
    ("streams: unknown durations jump as known ones", S + "gstomnitimestamps.cc", "(known ? kMost : kMostUnknown)", "kMost"),
    ("streams: a stop does not cancel the step", S + "gstomniworker.cc", "job_.cancel();\n  changed_.notify_all();\n  if (pad_)", "changed_.notify_all();\n  if (pad_)"),
    ("merge: a side stream that goes back stays ahead", S + "gstomnimergeside.cc", "back = until + kBack < side_reached_;", "back = false;"),
    ("merge: what was said of later times stays", S + "gstomnimergeside.cc", "if (back) hooks_.forget_after(until);", ""),
    ("merge: live, the most video held is no limit", S + "gstomnimergetask.cc", "now >= due || is_full()) return false;", "now >= due) return false;"),
    ("merge: one thread waits for itself", S + "gstomnimergetask.cc", "if (gave_up_ || (full && video_thread_ == side_thread_)) return false;", "if (gave_up_) return false;"),
    ("merge: a frame goes when the side comes to it", S + "gstomnimerge.h", "side_reached_ > time;", "side_reached_ >= time;"),
    ("merge: the latency of upstream is not waited for", S + "gstomnimergetask.cc", "time + upstream_latency_ + latency", "time + latency"),
    ("merge: the end of the side is not noticed", S + "gstomnimergeside.cc", "side_eos_ = GST_EVENT_TYPE(event.get()) == GST_EVENT_EOS;", "side_eos_ = false;"),
    ("merge: a flush of the side keeps how far it was", S + "gstomnimergeside.cc", "side_reached_ = 0;\n      side_eos_ = false;\n      break;", "break;"),
    ("merge: a stop keeps how far the side was", S + "gstomnimerge.cc", "side_reached_ = 0;\n  side_eos_ = false;\n  return stopped;", "return stopped;"),
    ("device choice: the weights may fill the GPU", "runtime/engine/engine.cc", "weights + kWorkBytes <= free", "weights <= free"),
    ("device choice: an open checkpoint has to fit again", "runtime/engine/engine.cc", "  if (auto engine = slot->engine.lock()) return engine;\n  if (if_it_fits && !has_room(*device, o)) return nullptr;",
     "  if (if_it_fits && !has_room(*device, o)) return nullptr;\n  if (auto engine = slot->engine.lock()) return engine;"),
    ("device choice: the GPU though it has no room", "runtime/engine/engine.cc", "return engine;\n    device = nullptr;", "return engine;"),
    ("device choice: nobody counts what is loaded", "runtime/ops/cuda/cuda_device.cc", "counts_.to_device += bytes;", ""),
    ("merge: waits for nobody are reported", S + "gstomnimerge.cc", "if (!side_ || !side_linked_) own = 0;", ""),
    ("output: results overlap", S + "gstomnioutput.cc", "if (start < position_) start = position_;", ""),
    ("output: silence ahead of a result is not told", S + "gstomnioutput.cc", "if (start > position_)\n      queue_.emplace_back(GST_MINI_OBJECT(gst_event_new_gap(position_, start - position_)));", ""),
    ("output: a gap goes back", S + "gstomnioutput.cc", "if (until <= position_) return;", ""),
    ("output: a result that is moved up keeps its duration", S + "gstomnioutput.cc", "end > start ? end - start : duration", "duration"),
    ("output: a flush keeps the position", S + "gstomnioutput.cc", "position_ = 0;\n      segment_due_ = true;", "segment_due_ = true;"),
    ("output: no segment behind a flush", S + "gstomnioutput.cc", "position_ = 0;\n      segment_due_ = true;", "position_ = 0;"),
    ("output: the last piece is not marked", S + "gstomnioutput.cc", "if (is_last) GST_BUFFER_FLAG_SET(buffer, GST_BUFFER_FLAG_MARKER);", ""),
    ("speech pad: sound leaves as soon as it is there", S + "gstomnispeechoutput.cc", "if (!now || *now + kLead >= due) return !is_cut(speech);", "return !is_cut(speech);"),
    ("speech pad: what the pipeline adds is forgotten", S + "gstomnispeechoutput.cc", "due = pts + pipeline_latency_;", "due = pts;"),
    ("speech pad: behind a hole the times of before", S + "gstomnispeechoutput.cc", "start += *after - latency - pts;", ""),
    ("speech pad: an interruption does not fade", S + "gstomnispeechoutput.cc", "samples.resize(fade);\n      for (size_t i = 0; i < fade; ++i) samples[i] *= 1 - float(i + 1) / float(fade);", "samples.resize(fade);"),
    ("speech pad: one speaks while the other does", S + "gstomnispeechoutput.cc", "std::max({u.not_before, position_, now.value_or(0)})", "std::max({u.not_before, now.value_or(0)})"),
    ("speech pad: of two silences that wait the later is lost", S + "gstomnispeechoutput.cc", "if (current_ || std::any_of(queue_.begin(), queue_.end(), is_spoken)) return;", "(void)is_spoken;\n    if (current_ || !queue_.empty()) return;"),
    ("speech pad: silence is told while something is said", S + "gstomnispeechoutput.cc", "if (current_ || std::any_of(queue_.begin(), queue_.end(), is_spoken)) return;", "(void)is_spoken;"),
    ("audio input: an overlap is heard twice", S + "gstomniaudioinput.cc", "else if (jump < -kResyncAbove)\n      return gst_util_uint64_scale(GstClockTime(-jump), guint64(in_.rate), GST_SECOND);", ""),
    ("audio input: planes are skipped by whole frames", S + "gstomniaudioinput.cc", "const gsize step = gsize(is_planar(in_) ? in_.bpf / in_.channels : in_.bpf);\n  for (gpointer& plane : planes)", "const gsize step = gsize(in_.bpf);\n  for (gpointer& plane : planes)"),
    ("audio input: a new piece counts on", S + "gstomniaudioinput.cc", "  n_in_ = 0;\n", ""),
    ("audio input: a long gap is listened to", S + "gstomniaudioinput.cc", "duration > kMostSilence", "false"),
    ("text filter: what lies ahead of the segment is kept", S + "gstomnitextfilter.cc", "std::max(GST_BUFFER_PTS(buffer), segment_.start)", "GST_BUFFER_PTS(buffer)"),
    ("text filter: text without an end outlives the next", S + "gstomnitextfilter.cc", "next > held->start ? std::min(held->duration, next - held->start) : held->duration", "held->duration"),
    ("text filter: a gap ends what is held", S + "gstomnitextfilter.cc", "if (held_ && time >= held_->start + held_->duration)", "if (held_)"),
    ("text filter: a flush keeps what is held", S + "gstomnitextfilter.cc", "held_.reset();\n  reset();", "reset();"),
    ("text filter: fast video has more pairs than line 21", E + "captions/gstomnicea608enc.cc", "(n + 31 * d - 1) / (31 * d)", "1"),
    ("side: results never expire", E + "overlay/gstomnicombiner.cc", "|| time - results_[0].time > expire)", ")"),
    ("side: objects move the other way", E + "overlay/gstomnicombiner.cc", "dx = o.velocity ? o.velocity->x * seconds : 0", "dx = o.velocity ? -o.velocity->x * seconds : 0"),
    ("side: results in the order of arrival", E + "overlay/gstomnicombiner.cc", "results_.insert(behind, std::move(r));", "results_.push_back(std::move(r));"),
    ("side: a late caption is not shown", E + "overlay/gstomnioverlay.cc", "if (start + duration <= shown) start = shown;", ""),
    ("side: a caption without an end outlives the next", E + "overlay/gstomnioverlay.cc", "captions_.back().end = std::min(captions_.back().end, start);", ";"),
    ("model: tokens outside the segment", E + "model/gstomnimodelsink.cc", "if (!GST_CLOCK_TIME_IS_VALID(time)) return outputs_flow(s);  // outside the segment", ""),
    ("model: one pad of questions ends them all", E + "model/gstomnimodelsink.cc", "[](const Input* i) { return !i->is_prompt || i->eos; }", "[](const Input*) { return true; }"),
    ("model: a flush of questions is one of the media", E + "model/gstomnimodelsink.cc", "return !in.is_prompt ||", "return true ||"),
    ("model: latencies of upstream add up", E + "model/gstomnimodellatency.cc", "min = std::max(min, pad_min);", "min += pad_min;"),
    ("model: one deaf pad ends them all", E + "model/gstomnimodelsink.cc", "!s.outputs.empty() && ended == s.outputs.size()", "ended > 0"),
    ("model: answers also where pieces are wanted", E + "model/gstomnimodelrouter.cc", "if (o.kind() == Kind::text && !gst_omni_text_pad_wants_pieces(o.pad()))", "if (o.kind() == Kind::text)"),
    ("tokenizer: frames far apart are a pair", E + "tokenizers/gstomnivideotokenizer.cc", "(time < first_ || time - first_ > pair_ + pair_ / 2)", "false"),
    ("tokenizer: other caps for the frame that waits", E + "tokenizers/gstomnitokenizer.cc", "work_->drain(emit_);\n      work_->set_caps(caps);", "work_->set_caps(caps);"),
    ("tokenizer: the end loses the rest", E + "tokenizers/gstomnitokenizer.cc", "work_->drain(emit_);\n      push_end(event);", "push_end(event);"),
    ("tokenizer: a segment is no new beginning", E + "tokenizers/gstomnitokenizer.cc", "work_->reset();\n      work_->set_segment", "work_->set_segment"),
    ("transcriber: the end is not told", E + "transcriber/gstomnitranscriberworker.cc", "output_.push_gap(heard_);\n      output_.push_eos();", "output_.push_eos();"),
]


# The beginning of a mutant's name → the tests that it is for, with their arguments; the longest that fits.
SUITES = {
    "cuda": ["cuda_test", "device_test"],
    "captions": ["captions_test"],
    "vad": ["vad_test"],
    "session": ["session_test --gtest_filter=Timeline.*:Inbox.*:Turns.*:Utterances.*:AnswerReader.*:SpeechStream.*:Tokenizers.*", "session_test"],
    "memory": ["session_test --gtest_filter=*Memory*:Conversation.*:Heard.*:*SessionFile*:SavedSession.*"],
    "watching": ["session_test --gtest_filter=Watch*:Folded.*:Meaning.*:*LookingBack*", "elements_test --gtest_filter=Watching.*"],
    "streams": ["streams_test"],
    "device choice": ["automatic_device_test"],
    "merge": ["merge_test"],
    "output": ["text_output_test"],
    "speech pad": ["speech_output_test"],
    "audio input": ["audio_input_test", "elements_test --gtest_filter=AudioTokenizer.*:BrokenStreams.*"],
    "text filter": ["elements_test --gtest_filter=Captions.*"],
    "side": ["elements_test --gtest_filter=Outputs.*-*AnyOrderOfEvents*:*Deaf*:*WholePipeline*"],
    "model": ["elements_test --gtest_filter=ModelFaults.*-*Thousands*:*Released*", "elements_test --gtest_filter=Model.*"],
    "tokenizer": ["elements_test --gtest_filter=*Tokenizer.*:VisionLanguage.*", "elements_test --gtest_filter=BrokenStreams.*"],
    "transcriber": ["elements_test --gtest_filter=Transcriber.*"],
    "quanti": ["io_test", "models_test"],
    "precision": ["io_test", "models_test"],
    "input": ["grammar_test", "io_test", "models_test"],
    "qwen3_omni": ["models_test --gtest_filter=Qwen3Omni*-*Emulated*", "tokenizers_test --gtest_filter=LogMel.*"],
    "whisper": ["models_test", "session_test"],
    "speech": ["models_test", "session_test"],
    "": ["ops_test", "tokenizers_test", "decoding_test", "session_test", "models_test"],
}
# What a test needs besides itself, and the environments in which it is run.
NEEDS = {"elements_test": ["gstomni"], "device_test": ["fake_cudnn", "fake_cublaslt"]}
ENVIRONMENTS = {"device_test": [(), ("OMNI_CUDNN=1", "OMNI_CUBLASLT=1", "LD_LIBRARY_PATH={build}/tests/fake_cudnn")]}


def plant(source, text, replacement):
    """`source` with the first `text` replaced; None if it is not there. White space does not count."""
    places = [i for i, c in enumerate(source) if not c.isspace()]
    at = "".join(source[i] for i in places).find("".join(text.split()))
    if at < 0:
        return None
    first, last = places[at], places[at + len("".join(text.split())) - 1]
    return source[:first] + replacement.strip() + source[last + 1:]


def run(*command):
    return subprocess.run(command, capture_output=True, text=True)


def tests_of(name):
    return SUITES[max((p for p in SUITES if name.startswith(p)), key=len)]


def area_of(file):
    parts = file.split("/")
    return "/".join(parts[:2]) if parts[0] == "runtime" else parts[0]


def copy_sources(to):
    """The files that git knows, as they are in the tree; those that are the same already keep their time."""
    names = run("git", "-C", str(ROOT), "ls-files", "-z").stdout.split("\0")
    known = {n for n in names if n and (ROOT / n).is_file()}
    for name in known:
        here, there = ROOT / name, to / name
        if not there.is_file() or there.read_bytes() != here.read_bytes():
            there.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(here, there)
    for there in to.rglob("*"):
        name = there.relative_to(to)
        if there.is_file() and name.parts[0] != "build" and str(name) not in known:
            there.unlink()


class Bench:
    """The copy and its build."""

    def __init__(self, folder):
        self.source, self.build, self.limits = folder, folder / "build", {}
        copy_sources(self.source)
        ccache = ["-DCMAKE_CXX_COMPILER_LAUNCHER=ccache"] if shutil.which("ccache") else []
        made = run("cmake", "-S", str(self.source), "-B", str(self.build), "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release",
                   "-DOMNI_CUDA=OFF", *ccache)
        assert made.returncode == 0, made.stderr

    def compile(self, tests):
        binaries = [t.split()[0] for t in tests]
        return run("ninja", "-C", str(self.build), *binaries, *(n for b in binaries for n in NEEDS.get(b, []))).returncode == 0

    def failure(self, test):
        """Of the first case that fails; None if none does. No test may take much longer than it does without a mistake."""
        binary, *arguments = test.split()
        for environment in ENVIRONMENTS.get(binary, [()]):
            environment = [e.format(build=self.build) for e in environment]
            begin = time.time()
            out = run("env", *environment, "timeout", str(self.limits.get(test, 900)), str(self.build / "tests" / binary),
                      "--gtest_brief=1", "--gtest_fail_fast", *arguments)
            if test not in self.limits and out.returncode == 0:
                self.limits[test] = int(60 + 4 * (time.time() - begin))
            if out.returncode:
                failed = re.findall(r"FAILED  \] (\S+)", out.stdout)
                return failed[0].rstrip(",") if failed else f"{test} ({'does not end' if out.returncode == 124 else 'crash'})"
        return None

    def catch(self, file, mutant, tests):
        """The test that fails with the mutant; None if none does."""
        path = self.source / file
        original = path.read_text()
        path.write_text(mutant)
        try:
            if not self.compile(tests):
                return "does not build"
            return next((f for f in map(self.failure, tests) if f), None)
        finally:
            path.write_text(original)


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--only", default="", help="a regular expression: the mutants whose names it finds")
    ap.add_argument("--area", default="", help="the beginning of a path: the mutants of files there")
    ap.add_argument("--build", type=pathlib.Path, default=pathlib.Path("/tmp/omni-mutants"))
    ap.add_argument("--check", action="store_true", help="only say which mistakes cannot be planted any more")
    a = ap.parse_args()
    if a.check:
        stale = [f"{name}: {file}" for name, file, text, new in MUTANTS if plant((ROOT / file).read_text(), text, new) is None]
        print("\n".join(stale) or f"{len(MUTANTS)} mistakes can be planted")
        sys.exit(bool(stale))
    chosen = [m for m in MUTANTS if re.search(a.only, m[0]) and m[1].startswith(a.area)]
    tests = list(dict.fromkeys(t for m in chosen for t in tests_of(m[0])))
    bench = Bench(a.build)
    assert bench.compile(tests), "the unchanged sources do not build"
    broken = {t: f for t in tests if (f := bench.failure(t))}
    assert not broken, f"tests of the unchanged sources fail: {broken}"
    caught, total = collections.Counter(), collections.Counter()
    for name, file, text, replacement in chosen:
        begin = time.time()
        mutant = plant((bench.source / file).read_text(), text, replacement)
        by = None if mutant is None else bench.catch(file, mutant, tests_of(name))
        good = by not in (None, "does not build")
        total[area_of(file)] += 1
        caught[area_of(file)] += good
        word = "caught  " if good else "STALE   " if mutant is None else "SURVIVED"
        print(f"{word}  {name}: {by or ''} ({time.time() - begin:.0f} s)", flush=True)
    for area in sorted(total):
        print(f"{caught[area]} of {total[area]} caught ({100 * caught[area] / total[area]:.0f} %): {area}")
    sys.exit(caught != total)


if __name__ == "__main__":
    main()
