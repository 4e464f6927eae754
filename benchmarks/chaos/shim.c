/* Fails, or kills, at the n-th call that changes a file under a directory; moves the clock.

   Preloaded. It does nothing until chaos_arm or chaos_clock is called in a process, or until the
   environment asks for a clock (CHAOS_CLOCK, seconds) when the process starts. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { COUNT, KILL_BEFORE, KILL_HALFWAY, FAIL_ONCE, FAIL_FROM };
enum { GO_ON, FAIL, HALF_THEN_KILL, HALF };

#define FDS 65536
static char places[2][4096];
static size_t lengths[2];
static long aim = -1;
static int how, error_number;
static atomic_long calls;
static atomic_uchar marks[FDS]; /* 1: counted, 2: only failed once all fail */
static long offset_s;

void chaos_arm(const char *first, const char *second, long n, int mode, int error) {
  const char *given[2] = {first, second};
  for (int i = 0; i < 2; i++) {
    strncpy(places[i], given[i], sizeof places[i] - 1);
    lengths[i] = strlen(places[i]);
  }
  atomic_store(&calls, 0);
  how = mode, error_number = error, aim = n;
}
long chaos_count(void) { return atomic_load(&calls); }
void chaos_clock(long seconds) { offset_s = seconds; }
__attribute__((constructor)) static void begin(void) {
  const char *asked = getenv("CHAOS_CLOCK");
  if (asked) offset_s = atol(asked);
}

#define REAL(type, name, ...)                                     \
  static type (*real)(__VA_ARGS__);                               \
  if (!real) real = (type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

/* The pulse of a worker is written at any time, so that it must not be counted. */
static int kind_of(const char *path) {
  if (aim < 0 || !path) return 0;
  for (int i = 0; i < 2; i++)
    if (lengths[i] && !strncmp(path, places[i], lengths[i])) {
      const char *name = strrchr(path, '/');
      name = name ? name + 1 : path;
      return strcmp(name, "heartbeat") && !strstr(name, "live.json") ? 1 : 2;
    }
  return 0;
}

/* What is to become of the next call on something of this kind. */
static int fate(int kind) {
  if (!kind || aim < 0) return GO_ON;
  if (kind == 2) return how == FAIL_FROM && atomic_load(&calls) >= aim ? FAIL : GO_ON;
  long n = atomic_fetch_add(&calls, 1) + 1;
  if (how == KILL_BEFORE && n == aim) kill(getpid(), SIGKILL), pause();
  if (how == KILL_HALFWAY && n == aim) return HALF_THEN_KILL;
  if (how == FAIL_ONCE && n == aim) return FAIL;
  /* A disk that fills takes a part of the last write. */
  if (how == FAIL_FROM && n == aim) return error_number == ENOSPC ? HALF : FAIL;
  return how == FAIL_FROM && n > aim ? FAIL : GO_ON;
}
static int dies(int what) {
  if (what == HALF_THEN_KILL) kill(getpid(), SIGKILL), pause();
  return 0;
}
#define REFUSED(what) ((what) == FAIL || (what) == HALF)
#define REFUSE(what) \
  if (REFUSED(what)) { errno = error_number; return -1; }

static int opened(int fd, int kind) {
  if (fd >= 0 && fd < FDS) atomic_store(&marks[fd], (unsigned char)kind);
  return fd;
}
#define WRITES(flags) ((flags) & (O_WRONLY | O_RDWR | O_CREAT))
#define OPEN(name)                                                \
  int name(const char *path, int flags, ...) {                    \
    REAL(int, #name, const char *, int, mode_t);                  \
    va_list rest; va_start(rest, flags);                          \
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0; \
    va_end(rest);                                                 \
    int kind = WRITES(flags) ? kind_of(path) : 0, what = fate(kind); \
    REFUSE(what)                                                  \
    int fd = opened(real(path, flags, mode), kind);               \
    dies(what);                                                   \
    return fd;                                                    \
  }
OPEN(open)
OPEN(open64)
#define OPENAT(name)                                              \
  int name(int at, const char *path, int flags, ...) {            \
    REAL(int, #name, int, const char *, int, mode_t);             \
    va_list rest; va_start(rest, flags);                          \
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0; \
    va_end(rest);                                                 \
    int kind = WRITES(flags) ? kind_of(path) : 0, what = fate(kind); \
    REFUSE(what)                                                  \
    int fd = opened(real(at, path, flags, mode), kind);           \
    dies(what);                                                   \
    return fd;                                                    \
  }
OPENAT(openat)
OPENAT(openat64)

static int mark_of(int fd) { return fd >= 0 && fd < FDS ? atomic_load(&marks[fd]) : 0; }

ssize_t write(int fd, const void *data, size_t size) {
  REAL(ssize_t, "write", int, const void *, size_t);
  int what = fate(mark_of(fd));
  if (what == FAIL) { errno = error_number; return -1; }
  if (what == GO_ON) return real(fd, data, size);
  if (size < 2 && what == HALF) { errno = error_number; return -1; }
  ssize_t done = real(fd, data, size / 2);
  dies(what);
  return done;
}
int close(int fd) {
  REAL(int, "close", int);
  opened(fd, 0);
  return real(fd);
}
#define ON_FD(name)                                               \
  int name(int fd) {                                              \
    REAL(int, #name, int);                                        \
    int what = fate(mark_of(fd));                                 \
    REFUSE(what)                                                  \
    int result = real(fd);                                        \
    dies(what);                                                   \
    return result;                                                \
  }
ON_FD(fsync)
ON_FD(fdatasync)

int rename(const char *from, const char *to) {
  REAL(int, "rename", const char *, const char *);
  int kind = kind_of(to), what = fate(kind);
  REFUSE(what)
  int result = real(from, to);
  dies(what);
  return result;
}
int mkdir(const char *path, mode_t mode) {
  REAL(int, "mkdir", const char *, mode_t);
  int what = fate(kind_of(path));
  REFUSE(what)
  int result = real(path, mode);
  dies(what);
  return result;
}
int unlink(const char *path) {
  REAL(int, "unlink", const char *);
  /* A full disk lets one delete, a disk that is read only does not. */
  if (kind_of(path) && how == FAIL_FROM && error_number == EROFS && atomic_load(&calls) >= aim) {
    errno = EROFS;
    return -1;
  }
  return real(path);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
  REAL(int, "clock_gettime", clockid_t, struct timespec *);
  int result = real(clock, now);
  if (!result && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
    now->tv_sec += offset_s;
  return result;
}
time_t time(time_t *now) {
  struct timespec found;
  clock_gettime(CLOCK_REALTIME, &found);
  if (now) *now = found.tv_sec;
  return found.tv_sec;
}
int gettimeofday(struct timeval *now, void *zone) {
  REAL(int, "gettimeofday", struct timeval *, void *);
  int result = real(now, zone);
  if (!result) now->tv_sec += offset_s;
  return result;
}
