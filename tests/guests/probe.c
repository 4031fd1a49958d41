/*
 * probe: one guest for many behaviours. Each subcommand makes one attempt and prints one line, so that a test compares
 * whole output. README.md lists the subcommands and the exact format of each line.
 *
 *     probe SUBCOMMAND [ARGUMENT...] [-- SUBCOMMAND [ARGUMENT...]]...
 *
 * It speaks preview 1 directly (<wasi/api.h>) and uses no stdio: a path reaches the host as it was given, byte for byte,
 * and no buffering stands between an attempt and the line that reports it.
 */

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <wasi/api.h>
#include <wasi/libc-find-relpath.h>

#define CHUNK 65536
#define MAX_HELD 64
#define MAX_NAMES 2000

typedef __wasi_errno_t status;
typedef __wasi_fd_t handle;

/* ---- output ---- */

static char line[1 << 17];
static size_t line_length;

static void put_bytes(const char *bytes, size_t length) {
  for (size_t i = 0; i < length && line_length < sizeof line - 8; i++) line[line_length++] = bytes[i];
}

static void put(const char *text) { put_bytes(text, strlen(text)); }

static void put_number(uint64_t value) {
  char digits[20];
  size_t at = sizeof digits;
  do digits[--at] = (char)('0' + value % 10); while (value /= 10);
  put_bytes(digits + at, sizeof digits - at);
}

static void put_key(const char *key, uint64_t value) {
  put(key);
  put("=");
  put_number(value);
}

/* Bytes outside printable ASCII, and the backslash, as \xHH: one result stays one line whatever a name holds. */
static void put_escaped(const char *bytes, size_t length) {
  static const char hex[] = "0123456789abcdef";
  for (size_t i = 0; i < length; i++) {
    unsigned char byte = (unsigned char)bytes[i];
    if (byte >= 0x20 && byte < 0x7f && byte != '\\' && byte != '"') {
      put_bytes(&bytes[i], 1);
    } else {
      char code[4] = {'\\', 'x', hex[byte >> 4], hex[byte & 15]};
      put_bytes(code, 4);
    }
  }
}

static void put_quoted(const char *bytes, size_t length) {
  put("\"");
  put_escaped(bytes, length);
  put("\"");
}

/* A closed or refused stream is no reason to stop: later attempts must still be made. */
static void flush_line(void) {
  put("\n");
  for (size_t done = 0; done < line_length;) {
    __wasi_ciovec_t piece = {(const uint8_t *)line + done, line_length - done};
    __wasi_size_t written = 0;
    if (__wasi_fd_write(1, &piece, 1, &written) || !written) break;
    done += written;
  }
  line_length = 0;
}

static const char *error_name(status code) {
  static const char *const names[] = {
      "SUCCESS",     "E2BIG",       "EACCES",      "EADDRINUSE",   "EADDRNOTAVAIL", "EAFNOSUPPORT",    "EAGAIN",
      "EALREADY",    "EBADF",       "EBADMSG",     "EBUSY",        "ECANCELED",     "ECHILD",          "ECONNABORTED",
      "ECONNREFUSED", "ECONNRESET", "EDEADLK",     "EDESTADDRREQ", "EDOM",          "EDQUOT",          "EEXIST",
      "EFAULT",      "EFBIG",       "EHOSTUNREACH", "EIDRM",       "EILSEQ",        "EINPROGRESS",     "EINTR",
      "EINVAL",      "EIO",         "EISCONN",     "EISDIR",       "ELOOP",         "EMFILE",          "EMLINK",
      "EMSGSIZE",    "EMULTIHOP",   "ENAMETOOLONG", "ENETDOWN",    "ENETRESET",     "ENETUNREACH",     "ENFILE",
      "ENOBUFS",     "ENODEV",      "ENOENT",      "ENOEXEC",      "ENOLCK",        "ENOLINK",         "ENOMEM",
      "ENOMSG",      "ENOPROTOOPT", "ENOSPC",      "ENOSYS",       "ENOTCONN",      "ENOTDIR",         "ENOTEMPTY",
      "ENOTRECOVERABLE", "ENOTSOCK", "ENOTSUP",    "ENOTTY",       "ENXIO",         "EOVERFLOW",       "EOWNERDEAD",
      "EPERM",       "EPIPE",       "EPROTO",      "EPROTONOSUPPORT", "EPROTOTYPE", "ERANGE",          "EROFS",
      "ESPIPE",      "ESRCH",       "ESTALE",      "ETIMEDOUT",    "ETXTBSY",       "EXDEV",           "ENOTCAPABLE",
  };
  return code < sizeof names / sizeof names[0] ? names[code] : "EUNKNOWN";
}

/* What an operation has to say besides ok or errno; printed after it. */
static char detail[1 << 16];
static size_t detail_length;

static size_t detail_from; /* where in `line` the detail under construction begins */

static void begin_detail(void) { detail_from = line_length; }

static void end_detail(void) {
  size_t length = line_length - detail_from;
  if (length > sizeof detail) length = sizeof detail;
  memcpy(detail, line + detail_from, length);
  detail_length = length;
  line_length = detail_from;
}

/* ---- paths ---- */

/* Handles that `hold` keeps open under a name. */
static struct {
  const char *name;
  handle fd;
} held[MAX_HELD];
static size_t held_count;

static bool find_held(const char *name, size_t length, handle *fd) {
  for (size_t i = held_count; i-- > 0;) {
    if (strlen(held[i].name) == length && !memcmp(held[i].name, name, length)) {
      *fd = held[i].fd;
      return true;
    }
  }
  return false;
}

typedef struct {
  handle fd;
  const char *path;
  bool ours; /* opened for this one operation; to be closed after it */
} place;

static const __wasi_rights_t READ_RIGHTS = __WASI_RIGHTS_FD_READ | __WASI_RIGHTS_FD_SEEK | __WASI_RIGHTS_FD_TELL |
                                           __WASI_RIGHTS_FD_FILESTAT_GET | __WASI_RIGHTS_POLL_FD_READWRITE;
static const __wasi_rights_t WRITE_RIGHTS = __WASI_RIGHTS_FD_WRITE | __WASI_RIGHTS_FD_SEEK | __WASI_RIGHTS_FD_TELL |
                                            __WASI_RIGHTS_FD_FILESTAT_GET | __WASI_RIGHTS_FD_FILESTAT_SET_SIZE |
                                            __WASI_RIGHTS_FD_FILESTAT_SET_TIMES | __WASI_RIGHTS_FD_ALLOCATE |
                                            __WASI_RIGHTS_FD_SYNC | __WASI_RIGHTS_FD_DATASYNC;
static const __wasi_rights_t DIRECTORY_RIGHTS =
    __WASI_RIGHTS_FD_READDIR | __WASI_RIGHTS_FD_FILESTAT_GET | __WASI_RIGHTS_PATH_OPEN | __WASI_RIGHTS_PATH_CREATE_FILE |
    __WASI_RIGHTS_PATH_CREATE_DIRECTORY | __WASI_RIGHTS_PATH_LINK_SOURCE | __WASI_RIGHTS_PATH_LINK_TARGET |
    __WASI_RIGHTS_PATH_READLINK | __WASI_RIGHTS_PATH_RENAME_SOURCE | __WASI_RIGHTS_PATH_RENAME_TARGET |
    __WASI_RIGHTS_PATH_FILESTAT_GET | __WASI_RIGHTS_PATH_FILESTAT_SET_SIZE | __WASI_RIGHTS_PATH_FILESTAT_SET_TIMES |
    __WASI_RIGHTS_PATH_SYMLINK | __WASI_RIGHTS_PATH_REMOVE_DIRECTORY | __WASI_RIGHTS_PATH_UNLINK_FILE;

static status open_place(place at, __wasi_lookupflags_t lookup, __wasi_oflags_t flags, __wasi_rights_t rights,
                         __wasi_fdflags_t fd_flags, handle *fd) {
  __wasi_rights_t inheriting = READ_RIGHTS | WRITE_RIGHTS | DIRECTORY_RIGHTS;
  return __wasi_path_open(at.fd, lookup, at.path, flags, rights, inheriting, fd_flags, fd);
}

/*
 * `/abs/path`       the preopen that covers it and the rest of the path, as libc finds them.
 * `@HANDLE@REST`    REST, untouched, relative to a held handle of that name, or else to the directory HANDLE.
 */
static status resolve(const char *path, place *at) {
  const char *second = path[0] == '@' ? strchr(path + 1, '@') : NULL;
  at->ours = false;
  if (!second) {
    const char *prefix;
    int fd = __wasilibc_find_abspath(path, &prefix, &at->path);
    if (fd < 0) return (status)errno;
    at->fd = (handle)fd;
    return 0;
  }
  at->path = second + 1;
  size_t length = (size_t)(second - path) - 1;
  if (find_held(path + 1, length, &at->fd)) return 0;
  char *directory = strndup(path + 1, length);
  place parent;
  status code = directory ? resolve(directory, &parent) : __WASI_ERRNO_NOMEM;
  if (!code) {
    code = open_place(parent, __WASI_LOOKUPFLAGS_SYMLINK_FOLLOW, __WASI_OFLAGS_DIRECTORY, DIRECTORY_RIGHTS, 0, &at->fd);
    at->ours = !code;
  }
  free(directory);
  return code;
}

static void leave(place at) {
  if (at.ours && __wasi_fd_close(at.fd)) __builtin_trap();
}

static void close_handle(handle fd) {
  if (__wasi_fd_close(fd)) __builtin_trap();
}

static uint64_t number(const char *text) { return strtoull(text, NULL, 10); }

/* ---- opening ---- */

static status open_as(const char *path, __wasi_lookupflags_t lookup, __wasi_oflags_t flags, __wasi_rights_t rights,
                      __wasi_fdflags_t fd_flags, handle *fd) {
  place at;
  status code = resolve(path, &at);
  if (code) return code;
  code = open_place(at, lookup, flags, rights, fd_flags, fd);
  leave(at);
  return code;
}

static status open_and_close(const char *path, __wasi_lookupflags_t lookup, __wasi_oflags_t flags,
                             __wasi_rights_t rights, __wasi_fdflags_t fd_flags) {
  handle fd;
  status code = open_as(path, lookup, flags, rights, fd_flags, &fd);
  if (!code) close_handle(fd);
  return code;
}

#define FOLLOW __WASI_LOOKUPFLAGS_SYMLINK_FOLLOW

static status op_open_read(char **a) { return open_and_close(a[0], FOLLOW, 0, READ_RIGHTS, 0); }
static status op_open_write(char **a) { return open_and_close(a[0], FOLLOW, 0, WRITE_RIGHTS, 0); }
static status op_open_both(char **a) { return open_and_close(a[0], FOLLOW, 0, READ_RIGHTS | WRITE_RIGHTS, 0); }
static status op_open_nofollow(char **a) { return open_and_close(a[0], 0, 0, READ_RIGHTS, 0); }
static status op_open_directory(char **a) {
  return open_and_close(a[0], FOLLOW, __WASI_OFLAGS_DIRECTORY, DIRECTORY_RIGHTS, 0);
}
static status op_create(char **a) { return open_and_close(a[0], FOLLOW, __WASI_OFLAGS_CREAT, WRITE_RIGHTS, 0); }
static status op_create_exclusive(char **a) {
  return open_and_close(a[0], FOLLOW, __WASI_OFLAGS_CREAT | __WASI_OFLAGS_EXCL, WRITE_RIGHTS, 0);
}
static status op_create_read(char **a) { return open_and_close(a[0], FOLLOW, __WASI_OFLAGS_CREAT, READ_RIGHTS, 0); }
static status op_truncate(char **a) { return open_and_close(a[0], FOLLOW, __WASI_OFLAGS_TRUNC, WRITE_RIGHTS, 0); }
static status op_truncate_read(char **a) { return open_and_close(a[0], FOLLOW, __WASI_OFLAGS_TRUNC, READ_RIGHTS, 0); }

static status op_openat(char **a) {
  char path[4096] = "@";
  if (strlen(a[0]) + strlen(a[1]) + 3 > sizeof path) return __WASI_ERRNO_NAMETOOLONG;
  strcat(strcat(strcat(path, a[0]), "@"), a[1]);
  return open_and_close(path, FOLLOW, 0, READ_RIGHTS, 0);
}

/* ---- reading and writing ---- */

static char chunk[CHUNK];

static status write_all(handle fd, const char *bytes, size_t length, size_t *written) {
  for (*written = 0; *written < length;) {
    __wasi_ciovec_t piece = {(const uint8_t *)bytes + *written, length - *written};
    __wasi_size_t count = 0;
    status code = __wasi_fd_write(fd, &piece, 1, &count);
    if (code) return code;
    if (!count) return __WASI_ERRNO_IO;
    *written += count;
  }
  return 0;
}

/* Reads to the end; the detail is the size and the first 64 bytes. */
static status read_all(handle fd, bool show) {
  char head[64];
  size_t kept = 0;
  uint64_t size = 0;
  status code;
  for (;;) {
    __wasi_iovec_t piece = {(uint8_t *)chunk, sizeof chunk};
    __wasi_size_t count = 0;
    code = __wasi_fd_read(fd, &piece, 1, &count);
    if (code || !count) break;
    for (size_t i = 0; i < count && kept < sizeof head; i++) head[kept++] = chunk[i];
    size += count;
  }
  begin_detail();
  if (!code) put_number(size);
  if (!code && show) {
    put(" ");
    put_quoted(head, kept);
  }
  end_detail();
  return code;
}

static void detail_key(const char *key, uint64_t value) {
  begin_detail();
  put_key(key, value);
  end_detail();
}

static status write_text(handle fd, const char *text) {
  size_t written;
  status code = write_all(fd, text, strlen(text), &written);
  detail_key("written", written);
  return code;
}

static status op_read(char **a) {
  handle fd;
  status code = open_as(a[0], FOLLOW, 0, READ_RIGHTS, 0, &fd);
  if (code) return code;
  code = read_all(fd, true);
  close_handle(fd);
  return code;
}

static status op_write(char **a) {
  handle fd;
  status code = open_as(a[0], FOLLOW, __WASI_OFLAGS_CREAT | __WASI_OFLAGS_TRUNC, WRITE_RIGHTS, 0, &fd);
  if (code) return code;
  code = write_text(fd, a[1]);
  close_handle(fd);
  return code;
}

static status op_append(char **a) {
  handle fd;
  status code = open_as(a[0], FOLLOW, 0, WRITE_RIGHTS, __WASI_FDFLAGS_APPEND, &fd);
  if (code) return code;
  code = write_text(fd, a[1]);
  close_handle(fd);
  return code;
}

static status op_write_at(char **a) {
  handle fd;
  status code = open_as(a[0], FOLLOW, __WASI_OFLAGS_CREAT, WRITE_RIGHTS, 0, &fd);
  if (code) return code;
  __wasi_filesize_t offset;
  code = __wasi_fd_seek(fd, (__wasi_filedelta_t)number(a[1]), __WASI_WHENCE_SET, &offset);
  if (!code) code = write_text(fd, a[2]);
  close_handle(fd);
  return code;
}

static status op_write_loop(char **a) {
  handle fd;
  status code = open_as(a[0], FOLLOW, __WASI_OFLAGS_CREAT | __WASI_OFLAGS_TRUNC, WRITE_RIGHTS, 0, &fd);
  if (code) return code;
  memset(chunk, 'w', sizeof chunk);
  uint64_t total = 0, wanted = number(a[1]);
  while (!code && total < wanted) {
    size_t length = wanted - total < CHUNK ? (size_t)(wanted - total) : CHUNK, written;
    code = write_all(fd, chunk, length, &written);
    total += written;
  }
  detail_key("written", total);
  close_handle(fd);
  return code;
}

/* ---- what is there ---- */

static const char *type_name(__wasi_filetype_t type) {
  switch (type) {
    case __WASI_FILETYPE_BLOCK_DEVICE: return "block-device";
    case __WASI_FILETYPE_CHARACTER_DEVICE: return "character-device";
    case __WASI_FILETYPE_DIRECTORY: return "directory";
    case __WASI_FILETYPE_REGULAR_FILE: return "file";
    case __WASI_FILETYPE_SYMBOLIC_LINK: return "symlink";
    case __WASI_FILETYPE_SOCKET_STREAM:
    case __WASI_FILETYPE_SOCKET_DGRAM: return "socket";
    default: return "unknown";
  }
}

/* A directory's size and link count are the file system's own affair: not printed, so that tests need not know them. */
static void detail_stat(const __wasi_filestat_t *stat) {
  begin_detail();
  put("type=");
  put(type_name(stat->filetype));
  if (stat->filetype == __WASI_FILETYPE_REGULAR_FILE) {
    put(" ");
    put_key("size", stat->size);
    put(" ");
    put_key("links", stat->nlink);
  }
  end_detail();
}

static status stat_path(const char *path, __wasi_lookupflags_t lookup, __wasi_filestat_t *stat) {
  place at;
  status code = resolve(path, &at);
  if (code) return code;
  code = __wasi_path_filestat_get(at.fd, lookup, at.path, stat);
  leave(at);
  return code;
}

static status op_stat(char **a) {
  __wasi_filestat_t stat;
  status code = stat_path(a[0], FOLLOW, &stat);
  if (!code) detail_stat(&stat);
  return code;
}

static status op_lstat(char **a) {
  __wasi_filestat_t stat;
  status code = stat_path(a[0], 0, &stat);
  if (!code) detail_stat(&stat);
  return code;
}

static status op_mtime(char **a) {
  __wasi_filestat_t stat;
  status code = stat_path(a[0], FOLLOW, &stat);
  if (code) return code;
  begin_detail();
  put_number(stat.mtim / 1000000000);
  end_detail();
  return 0;
}

typedef struct {
  char *name;
  __wasi_filetype_t type;
} entry;

static int by_name(const void *left, const void *right) {
  return strcmp(((const entry *)left)->name, ((const entry *)right)->name);
}

static status list_handle(handle fd) {
  static entry entries[MAX_NAMES];
  size_t count = 0;
  __wasi_dircookie_t cookie = __WASI_DIRCOOKIE_START;
  status code;
  for (;;) {
    __wasi_size_t used = 0;
    code = __wasi_fd_readdir(fd, (uint8_t *)chunk, sizeof chunk, cookie, &used);
    if (code) break;
    size_t from = 0;
    while (from + sizeof(__wasi_dirent_t) <= used) {
      __wasi_dirent_t head;
      memcpy(&head, chunk + from, sizeof head);
      if (from + sizeof head + head.d_namlen > used) break;
      const char *name = chunk + from + sizeof head;
      from += sizeof head + head.d_namlen;
      cookie = head.d_next;
      bool dots = (head.d_namlen == 1 && name[0] == '.') || (head.d_namlen == 2 && name[0] == '.' && name[1] == '.');
      if (!dots && count < MAX_NAMES) {
        entries[count].type = head.d_type;
        entries[count++].name = strndup(name, head.d_namlen);
      }
    }
    if (used < sizeof chunk || !from) break;
  }
  qsort(entries, count, sizeof entries[0], by_name);
  begin_detail();
  if (!code) put_number(count);
  for (size_t i = 0; i < count; i++) {
    if (!code) {
      put(" ");
      put_quoted(entries[i].name, strlen(entries[i].name));
      if (entries[i].type == __WASI_FILETYPE_DIRECTORY) put("/");
      else if (entries[i].type == __WASI_FILETYPE_SYMBOLIC_LINK) put("@");
      else if (entries[i].type != __WASI_FILETYPE_REGULAR_FILE) put("?");
    }
    free(entries[i].name);
  }
  end_detail();
  return code;
}

static status op_list(char **a) {
  handle fd;
  status code = open_as(a[0], FOLLOW, __WASI_OFLAGS_DIRECTORY, DIRECTORY_RIGHTS, 0, &fd);
  if (code) return code;
  code = list_handle(fd);
  close_handle(fd);
  return code;
}

static status op_readlink(char **a) {
  place at;
  status code = resolve(a[0], &at);
  if (code) return code;
  __wasi_size_t length = 0;
  code = __wasi_path_readlink(at.fd, at.path, (uint8_t *)chunk, sizeof chunk, &length);
  leave(at);
  if (code) return code;
  begin_detail();
  put_quoted(chunk, length);
  end_detail();
  return 0;
}

static status op_preopens(char **a) {
  (void)a;
  begin_detail();
  for (handle fd = 3;; fd++) {
    __wasi_prestat_t prestat;
    char name[4096];
    if (__wasi_fd_prestat_get(fd, &prestat)) break;
    size_t length = prestat.u.dir.pr_name_len;
    if (length > sizeof name || __wasi_fd_prestat_dir_name(fd, (uint8_t *)name, length)) break;
    if (fd > 3) put(" ");
    put_quoted(name, length);
  }
  end_detail();
  return 0;
}

/* ---- changing what is there ---- */

#define MARK_SECONDS 1000000000ull

static status op_utimes(char **a) {
  place at;
  status code = resolve(a[0], &at);
  if (code) return code;
  uint64_t mark = MARK_SECONDS * 1000000000ull;
  code = __wasi_path_filestat_set_times(at.fd, FOLLOW, at.path, mark, mark,
                                        __WASI_FSTFLAGS_ATIM | __WASI_FSTFLAGS_MTIM);
  leave(at);
  return code;
}

static status op_allocate(char **a) {
  handle fd;
  status code = open_as(a[0], FOLLOW, 0, WRITE_RIGHTS, 0, &fd);
  if (code) return code;
  code = __wasi_fd_allocate(fd, 0, number(a[1]));
  close_handle(fd);
  return code;
}

static status op_ftruncate(char **a) {
  handle fd;
  status code = open_as(a[0], FOLLOW, 0, WRITE_RIGHTS, 0, &fd);
  if (code) return code;
  code = __wasi_fd_filestat_set_size(fd, number(a[1]));
  close_handle(fd);
  return code;
}

static status with_path(const char *path, status (*act)(handle, const char *)) {
  place at;
  status code = resolve(path, &at);
  if (code) return code;
  code = act(at.fd, at.path);
  leave(at);
  return code;
}

static status op_unlink(char **a) { return with_path(a[0], __wasi_path_unlink_file); }
static status op_rmdir(char **a) { return with_path(a[0], __wasi_path_remove_directory); }
static status op_mkdir(char **a) { return with_path(a[0], __wasi_path_create_directory); }

static status with_two_paths(const char *from, const char *to,
                             status (*act)(handle, const char *, handle, const char *)) {
  place source, target;
  status code = resolve(from, &source);
  if (code) return code;
  code = resolve(to, &target);
  if (!code) {
    code = act(source.fd, source.path, target.fd, target.path);
    leave(target);
  }
  leave(source);
  return code;
}

static status link_plain(handle old_fd, const char *old_path, handle new_fd, const char *new_path) {
  return __wasi_path_link(old_fd, 0, old_path, new_fd, new_path);
}

static status link_follow(handle old_fd, const char *old_path, handle new_fd, const char *new_path) {
  return __wasi_path_link(old_fd, FOLLOW, old_path, new_fd, new_path);
}

static status op_rename(char **a) { return with_two_paths(a[0], a[1], __wasi_path_rename); }
static status op_link(char **a) { return with_two_paths(a[0], a[1], link_plain); }
static status op_link_follow(char **a) { return with_two_paths(a[0], a[1], link_follow); }

static status op_symlink(char **a) {
  place at;
  status code = resolve(a[1], &at);
  if (code) return code;
  code = __wasi_path_symlink(a[0], at.fd, at.path);
  leave(at);
  return code;
}

/* ---- handles kept open between subcommands ---- */

static status op_hold(char **a) {
  __wasi_rights_t rights = READ_RIGHTS;
  __wasi_oflags_t flags = 0;
  __wasi_fdflags_t fd_flags = 0;
  if (!strcmp(a[2], "write")) rights = WRITE_RIGHTS;
  else if (!strcmp(a[2], "both")) rights = READ_RIGHTS | WRITE_RIGHTS;
  else if (!strcmp(a[2], "append")) rights = WRITE_RIGHTS, fd_flags = __WASI_FDFLAGS_APPEND;
  else if (!strcmp(a[2], "create")) rights = READ_RIGHTS | WRITE_RIGHTS, flags = __WASI_OFLAGS_CREAT;
  else if (!strcmp(a[2], "directory")) rights = DIRECTORY_RIGHTS, flags = __WASI_OFLAGS_DIRECTORY;
  else if (strcmp(a[2], "read")) return __WASI_ERRNO_INVAL;
  if (held_count == MAX_HELD) return __WASI_ERRNO_MFILE;
  handle fd;
  status code = open_as(a[1], FOLLOW, flags, rights, fd_flags, &fd);
  if (code) return code;
  held[held_count].name = a[0];
  held[held_count++].fd = fd;
  return 0;
}

static status op_release(char **a) {
  for (size_t i = held_count; i-- > 0;) {
    if (!strcmp(held[i].name, a[0])) {
      status code = __wasi_fd_close(held[i].fd);
      held[i] = held[--held_count];
      return code;
    }
  }
  return __WASI_ERRNO_BADF;
}

static status with_held(const char *name, handle *fd) {
  return find_held(name, strlen(name), fd) ? 0 : __WASI_ERRNO_BADF;
}

static status op_fd_read(char **a) {
  handle fd;
  status code = with_held(a[0], &fd);
  __wasi_filesize_t offset;
  if (!code) code = __wasi_fd_seek(fd, 0, __WASI_WHENCE_SET, &offset);
  return code ? code : read_all(fd, true);
}

static status op_fd_write(char **a) {
  handle fd;
  status code = with_held(a[0], &fd);
  return code ? code : write_text(fd, a[1]);
}

static status op_fd_size(char **a) {
  handle fd;
  status code = with_held(a[0], &fd);
  return code ? code : __wasi_fd_filestat_set_size(fd, number(a[1]));
}

static status op_fd_allocate(char **a) {
  handle fd;
  status code = with_held(a[0], &fd);
  return code ? code : __wasi_fd_allocate(fd, 0, number(a[1]));
}

static status op_fd_times(char **a) {
  handle fd;
  status code = with_held(a[0], &fd);
  uint64_t mark = MARK_SECONDS * 1000000000ull;
  return code ? code
              : __wasi_fd_filestat_set_times(fd, mark, mark, __WASI_FSTFLAGS_ATIM | __WASI_FSTFLAGS_MTIM);
}

static status op_fd_stat(char **a) {
  handle fd;
  __wasi_filestat_t stat;
  status code = with_held(a[0], &fd);
  if (!code) code = __wasi_fd_filestat_get(fd, &stat);
  if (!code) detail_stat(&stat);
  return code;
}

static status op_fd_list(char **a) {
  handle fd;
  status code = with_held(a[0], &fd);
  return code ? code : list_handle(fd);
}

static status op_fd_sync(char **a) {
  handle fd;
  status code = with_held(a[0], &fd);
  return code ? code : __wasi_fd_sync(fd);
}

/* A directory's handle outlives the directory's name: what does it reach afterwards? */
static status op_read_handle_after_rename(char **a) {
  place old;
  handle directory;
  status code = open_as(a[0], FOLLOW, __WASI_OFLAGS_DIRECTORY, DIRECTORY_RIGHTS, 0, &directory);
  if (code) return code;
  code = with_two_paths(a[0], a[1], __wasi_path_rename);
  if (!code) {
    handle fd;
    old = (place){.fd = directory, .path = a[2], .ours = false};
    code = open_place(old, FOLLOW, 0, READ_RIGHTS, 0, &fd);
    if (!code) {
      code = read_all(fd, true);
      close_handle(fd);
    }
  }
  close_handle(directory);
  return code;
}

static status op_close_then_use(char **a) {
  handle fd;
  status code = open_as(a[0], FOLLOW, 0, READ_RIGHTS, 0, &fd);
  if (code) return code;
  close_handle(fd);
  return read_all(fd, true);
}

/* ---- using things up ---- */

static status op_many_open(char **a) {
  uint64_t opened = 0, wanted = number(a[1]);
  status code = 0;
  while (!code && opened < wanted) {
    handle fd;
    code = open_as(a[0], FOLLOW, 0, READ_RIGHTS, 0, &fd);
    if (!code) opened++;
  }
  detail_key("opened", opened);
  return code;
}

static status flood(handle fd, uint64_t wanted) {
  for (size_t i = 0; i < sizeof chunk; i++) chunk[i] = i % 64 == 63 ? '\n' : 'f';
  uint64_t total = 0;
  status code = 0;
  while (!code && total < wanted) {
    size_t length = wanted - total < CHUNK ? (size_t)(wanted - total) : CHUNK, written;
    code = write_all(fd, chunk, length, &written);
    total += written;
  }
  detail_key("written", total);
  return code;
}

static status op_flood(char **a) { return flood(1, number(a[0])); }
static status op_flood_stderr(char **a) { return flood(2, number(a[0])); }

static status op_flood_denied(char **a) {
  uint64_t denied = 0, opened = 0;
  status last = 0;
  for (uint64_t i = number(a[1]); i > 0; i--) {
    status code = open_and_close(a[0], FOLLOW, 0, READ_RIGHTS, 0);
    if (code) last = code, denied++;
    else opened++;
  }
  begin_detail();
  put_key("denied", denied);
  put(" ");
  put_key("opened", opened);
  end_detail();
  return last;
}

static status op_grow(char **a) {
  uint64_t grown = 0, wanted = number(a[0]);
  for (; grown < wanted; grown++) {
    size_t pages = __builtin_wasm_memory_grow(0, 16);
    if (pages == SIZE_MAX) break;
    volatile char *fresh = (volatile char *)(pages * 65536);
    for (size_t i = 0; i < 16 * 65536; i += 4096) fresh[i] = 1;
  }
  detail_key("mebibytes", grown);
  return grown < wanted ? __WASI_ERRNO_NOMEM : 0;
}

static status op_spin(char **a) {
  (void)a;
  for (volatile uint32_t i = 0;; i++) {
  }
}

__attribute__((noinline)) static uint32_t recurse_deeper(volatile uint32_t *above) {
  volatile uint32_t here[64] = {*above + 1};
  uint32_t below = recurse_deeper(here);
  return below + here[0];
}

static status op_recurse(char **a) {
  (void)a;
  volatile uint32_t start[1] = {0};
  return (status)recurse_deeper(start);
}

/* ---- everything that is no file ---- */

static status op_env(char **a) {
  (void)a;
  __wasi_size_t count = 0, size = 0;
  status code = __wasi_environ_sizes_get(&count, &size);
  if (code) return code;
  uint8_t **pairs = calloc(count + 1, sizeof *pairs);
  uint8_t *bytes = malloc(size + 1);
  code = pairs && bytes ? __wasi_environ_get(pairs, bytes) : __WASI_ERRNO_NOMEM;
  begin_detail();
  if (!code) put_number(count);
  for (size_t i = 0; !code && i < count; i++) {
    put(" ");
    put_quoted((const char *)pairs[i], strlen((const char *)pairs[i]));
  }
  end_detail();
  free(bytes);
  free(pairs);
  return code;
}

static int argument_count;
static char **arguments;

static status op_args(char **a) {
  (void)a;
  begin_detail();
  put_number((uint64_t)argument_count);
  for (int i = 0; i < argument_count; i++) {
    put(" ");
    put_quoted(arguments[i], strlen(arguments[i]));
  }
  end_detail();
  return 0;
}

static status op_stdin(char **a) {
  (void)a;
  return read_all(0, false);
}

static status op_stdout(char **a) { return write_text(1, a[0]); }
static status op_stderr(char **a) { return write_text(2, a[0]); }

static status op_sleep(char **a) {
  __wasi_subscription_t wanted = {0};
  __wasi_event_t event;
  __wasi_size_t events = 0;
  wanted.u.tag = __WASI_EVENTTYPE_CLOCK;
  wanted.u.u.clock.id = __WASI_CLOCKID_MONOTONIC;
  wanted.u.u.clock.timeout = number(a[0]) * 1000000ull;
  return __wasi_poll_oneoff(&wanted, &event, 1, &events);
}

static status op_clock(char **a) {
  (void)a;
  __wasi_timestamp_t wall = 0, monotonic = 0;
  status code = __wasi_clock_time_get(__WASI_CLOCKID_REALTIME, 1, &wall);
  if (!code) code = __wasi_clock_time_get(__WASI_CLOCKID_MONOTONIC, 1, &monotonic);
  if (code) return code;
  begin_detail();
  put_key("wall", wall);
  put(" ");
  put_key("monotonic", monotonic);
  end_detail();
  return 0;
}

static status op_clock_resolution(char **a) {
  (void)a;
  __wasi_timestamp_t wall = 0, monotonic = 0;
  status code = __wasi_clock_res_get(__WASI_CLOCKID_REALTIME, &wall);
  if (!code) code = __wasi_clock_res_get(__WASI_CLOCKID_MONOTONIC, &monotonic);
  if (code) return code;
  begin_detail();
  put_key("wall", wall);
  put(" ");
  put_key("monotonic", monotonic);
  end_detail();
  return 0;
}

static status op_random(char **a) {
  (void)a;
  uint8_t bytes[16];
  status code = __wasi_random_get(bytes, sizeof bytes);
  if (code) return code;
  static const char hex[] = "0123456789abcdef";
  begin_detail();
  for (size_t i = 0; i < sizeof bytes; i++) {
    char pair[2] = {hex[bytes[i] >> 4], hex[bytes[i] & 15]};
    put_bytes(pair, 2);
  }
  end_detail();
  return 0;
}

static status op_exit(char **a) { __wasi_proc_exit((__wasi_exitcode_t)number(a[0])); }

static status op_abort(char **a) {
  (void)a;
  abort();
}

/* ---- the table ---- */

static const struct {
  const char *name;
  int arguments;
  status (*act)(char **);
} operations[] = {
    {"open-read", 1, op_open_read},
    {"open-write", 1, op_open_write},
    {"open-both", 1, op_open_both},
    {"open-nofollow", 1, op_open_nofollow},
    {"open-directory", 1, op_open_directory},
    {"openat", 2, op_openat},
    {"create", 1, op_create},
    {"create-exclusive", 1, op_create_exclusive},
    {"create-read", 1, op_create_read},
    {"truncate", 1, op_truncate},
    {"truncate-read", 1, op_truncate_read},
    {"read", 1, op_read},
    {"write", 2, op_write},
    {"append", 2, op_append},
    {"write-at", 3, op_write_at},
    {"write-loop", 2, op_write_loop},
    {"stat", 1, op_stat},
    {"lstat", 1, op_lstat},
    {"mtime", 1, op_mtime},
    {"list", 1, op_list},
    {"readlink", 1, op_readlink},
    {"preopens", 0, op_preopens},
    {"utimes", 1, op_utimes},
    {"allocate", 2, op_allocate},
    {"ftruncate", 2, op_ftruncate},
    {"unlink", 1, op_unlink},
    {"rmdir", 1, op_rmdir},
    {"mkdir", 1, op_mkdir},
    {"rename", 2, op_rename},
    {"link", 2, op_link},
    {"link-follow", 2, op_link_follow},
    {"symlink", 2, op_symlink},
    {"hold", 3, op_hold},
    {"release", 1, op_release},
    {"fd-read", 1, op_fd_read},
    {"fd-write", 2, op_fd_write},
    {"fd-size", 2, op_fd_size},
    {"fd-allocate", 2, op_fd_allocate},
    {"fd-times", 1, op_fd_times},
    {"fd-stat", 1, op_fd_stat},
    {"fd-list", 1, op_fd_list},
    {"fd-sync", 1, op_fd_sync},
    {"read-handle-after-rename", 3, op_read_handle_after_rename},
    {"close-then-use", 1, op_close_then_use},
    {"many-open", 2, op_many_open},
    {"flood", 1, op_flood},
    {"flood-stderr", 1, op_flood_stderr},
    {"flood-denied", 2, op_flood_denied},
    {"grow", 1, op_grow},
    {"spin", 0, op_spin},
    {"recurse", 0, op_recurse},
    {"env", 0, op_env},
    {"args", 0, op_args},
    {"stdin", 0, op_stdin},
    {"stdout", 1, op_stdout},
    {"stderr", 1, op_stderr},
    {"sleep", 1, op_sleep},
    {"clock", 0, op_clock},
    {"clock-resolution", 0, op_clock_resolution},
    {"random", 0, op_random},
    {"exit", 1, op_exit},
    {"abort", 0, op_abort},
};

static bool run_one(int count, char **words) {
  for (size_t i = 0; i < sizeof operations / sizeof operations[0]; i++) {
    if (strcmp(operations[i].name, words[0])) continue;
    if (operations[i].arguments != count - 1) break;
    detail_length = 0;
    status code = operations[i].act(words + 1);
    line_length = 0;
    for (int word = 0; word < count; word++) {
      if (word) put(" ");
      put_escaped(words[word], strlen(words[word]));
    }
    put(code ? " -> errno " : " -> ok");
    if (code) put(error_name(code));
    if (detail_length) {
      put(" ");
      put_bytes(detail, detail_length);
    }
    flush_line();
    return true;
  }
  put("usage: ");
  put_escaped(words[0], strlen(words[0]));
  put(" is no subcommand with ");
  put_number((uint64_t)(count - 1));
  put(" arguments");
  flush_line();
  return false;
}

/* Without arguments (a policy may grant none): one use of each family that answers without trapping. */
static char *defaults[] = {"args", "--", "env",       "--",          "stdin", "--", "clock",
                           "--",   "list", "/", "--", "open-read", "/etc/passwd"};

int main(int argc, char **argv) {
  argument_count = argc;
  arguments = argv;
  char **words = argv + 1;
  int count = argc - 1;
  if (count <= 0) {
    words = defaults;
    count = sizeof defaults / sizeof defaults[0];
  }
  for (int from = 0; from < count;) {
    int to = from;
    while (to < count && strcmp(words[to], "--")) to++;
    if (to > from && !run_one(to - from, words + from)) return 2;
    from = to + 1;
  }
  return 0;
}
