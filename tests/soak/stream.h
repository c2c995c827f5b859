// One live stream of the soak: a pipeline of our elements whose sources the program feeds tick by
// tick, as a camera and a microphone would, and whose feed breaks in the ways of the field.
#pragma once

#include <gst/gst.h>

#include <cstdint>
#include <map>
#include <random>
#include <string>
#include <vector>

namespace omni_test {

constexpr GstClockTime kTick = 200 * GST_MSECOND;  // a frame and as much audio

class SoakStream {
 public:
  static constexpr int kKinds = 4;
  SoakStream(int number, uint64_t seed);
  ~SoakStream();
  SoakStream(const SoakStream&) = delete;

  void start();
  void stop();  // to NULL: what it held of an engine is given back
  // What is due by now, with a fault now and then; then what the bus says.
  void tick();

  struct Counts {
    uint64_t answers = 0, buffers = 0, overdue = 0, warnings = 0, errors = 0;
    std::map<std::string, uint64_t> faults;
  };
  const Counts& counts() const { return counts_; }
  // Of the answers since the last call: s from the end of the media to the answer.
  std::vector<double> take_delays();
  // Seconds since something last came out.
  double silence() const;
  const char* name() const;

 private:
  struct Track {
    GstElement* source = nullptr;
    gint64 offset = 0;  // ns, of its time stamps
    GstClockTime silent_until = 0;
    int n_unstamped = 0;
  };
  using Fault = void (SoakStream::*)(Track&);

  void build();
  void destroy();
  GstClockTime now() const;  // running time
  GstClockTime draw(GstClockTime low, GstClockTime high);
  void push(Track& track, GstClockTime at);
  void read_bus();
  void take(GstMessage* message);
  static GstPadProbeReturn came_out(GstPad*, GstPadProbeInfo*, gpointer self);

  // faults
  void stall(Track& track);
  void drop(Track& track);
  void jump(Track& track);
  void jump_home(Track& track);
  void lose_stamps(Track& track);
  void reconnect(Track& track);
  void flush(Track& track);
  void change_caps(Track& track);
  void say_gap(Track& track);
  void restart(Track& track);
  void rebuild(Track& track);
  void signal(Track& track);

  const int number_;
  std::mt19937_64 random_;
  GstElement *pipeline_ = nullptr, *model_ = nullptr;
  std::vector<Track> tracks_;
  int picture_ = 112;      // its edge
  GstClockTime next_ = 0;  // running time of the next tick
  GstClockTime delivered_ = 0;
  mutable gint alive_ = 1;    // something came out; atomic
  mutable gint64 heard_ = 0;  // monotonic time, us
  Counts counts_;
  std::vector<double> delays_;
};

}  // namespace omni_test
