/*
 * Which folder the image cache is in, and whether it can be trusted (cache_store.h).
 *
 * The environment's rules are those of the XDG Base Directory Specification: relative paths are
 * invalid, folders are made with mode 0700. The folder itself must be ours, entered by nobody else,
 * and no link; it is opened once and never named again. What may lie above it is the user's own
 * affair.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "loader/mm/cache_store.h"

/* linux/magic.h, and what it leaves out: their files change under us without another change time,
 * or as late as a server likes. */
static const uint32_t remote_types[] = {
    0x6969,     /* NFS */
    0xFF534D42, /* CIFS */
    0xFE534D42, /* SMB 2 */
    0x517B,     /* SMB */
    0x00C36400, /* Ceph */
    0x5346414F, /* AFS */
    0x01021997, /* 9P */
    0x65735546, /* FUSE */
    0x0BD00BD0, /* Lustre */
    0x47504653, /* GPFS */
};

/* ---- which folder ---------------------------------------------------------------------------- */

struct choice {
    char *path; /* malloc'ed */
    size_t own; /* so much of it must be a folder of this user's already; 0 = it is as it is */
};

static const char *join(struct choice *out, const char *base, const char *rest)
{
    if (asprintf(&out->path, "%s%s", base, rest) < 0) {
        out->path = NULL;
        return "not enough memory";
    }
    return NULL;
}

/* NULL, or why there is none. */
static const char *choose(const char *wanted, struct choice *out)
{
    const char *base;

    out->path = NULL;
    out->own = 0;
    if (wanted == NULL) {
        wanted = secure_getenv("PELDR_CACHE");
        if (wanted != NULL && wanted[0] != '\0' && wanted[0] != '/' && strcmp(wanted, "off") != 0)
            return "PELDR_CACHE is neither an absolute path nor \"off\"";
    }
    if (wanted != NULL && strcmp(wanted, "off") == 0)
        return "it is off";
    if (wanted != NULL && wanted[0] != '\0')
        return join(out, wanted, "");
    base = secure_getenv("XDG_CACHE_HOME");
    if (base != NULL && base[0] == '/')
        return join(out, base, "/peldr");
    base = secure_getenv("HOME");
    if (base == NULL || base[0] != '/')
        return "neither XDG_CACHE_HOME nor HOME names a folder";
    /* With another user's HOME (sudo) nothing is left behind in it. */
    out->own = strlen(base);
    return join(out, base, "/.cache/peldr");
}

/* ---- making it ------------------------------------------------------------------------------- */

static bool is_own_folder(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == geteuid();
}

/* What is missing of a path, each folder for this user alone. */
static void make_folders(char *path, size_t from)
{
    for (char *p = path + (from != 0 ? from : 1); *p != '\0'; p++) {
        if (*p != '/')
            continue;
        *p = '\0';
        mkdir(path, 0700); /* there already, or opening the folder will tell */
        *p = '/';
    }
    mkdir(path, 0700);
}

static const char *open_folder(struct choice *choice, int *dir)
{
    const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    char *end = choice->path + strlen(choice->path);

    /* A link with a slash behind it would be followed. */
    while (end > choice->path + 1 && end[-1] == '/')
        *--end = '\0';
    if (choice->own != 0) {
        char kept = choice->path[choice->own];

        choice->path[choice->own] = '\0';
        if (!is_own_folder(choice->path))
            return "HOME is not this user's";
        choice->path[choice->own] = kept;
    }
    *dir = open(choice->path, flags);
    if (*dir < 0 && errno == ENOENT) {
        make_folders(choice->path, choice->own);
        *dir = open(choice->path, flags);
    }
    if (*dir >= 0)
        return NULL;
    return errno == ENOTDIR || errno == ELOOP ? "its folder is a symbolic link or no folder"
           : errno == ENOENT                  ? "its folder cannot be made"
                                              : "its folder cannot be opened";
}

/* ---- trusting it ----------------------------------------------------------------------------- */

/* A file system may refuse what its flags do not say (a policy of the system's). */
static bool can_execute(int fd)
{
    void *page = mmap(NULL, (size_t)MM_PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);

    if (page == MAP_FAILED)
        return false;
    munmap(page, (size_t)MM_PAGE);
    return true;
}

static const char *check_folder(struct mm_cache_place *place)
{
    struct stat st;

    if (fstat(place->dir, &st) != 0)
        return "its folder cannot be examined";
    place->dir_dev = st.st_dev;
    place->dir_ino = st.st_ino;
    if (st.st_uid != geteuid())
        return "its folder belongs to another user";
    if ((st.st_mode & 07777) != 0700)
        return "its folder's mode is not 0700";
    return NULL;
}

static const char *check_file_system(int dir)
{
    struct statfs fs;

    if (fstatfs(dir, &fs) != 0)
        return "its file system cannot be examined";
    if ((fs.f_flags & ST_NOEXEC) != 0)
        return "its file system is mounted noexec";
    if ((fs.f_flags & ST_RDONLY) != 0)
        return "its file system is read-only";
    for (size_t i = 0; i < sizeof(remote_types) / sizeof(*remote_types); i++)
        if ((uint32_t)fs.f_type == remote_types[i])
            return "its file system is a remote one";
    return NULL;
}

static const char *open_index(struct mm_cache_place *place)
{
    struct stat st;

    place->index = mm_cache_index_open(place->dir, &st);
    if (place->index < 0)
        return "its index cannot be opened";
    place->index_dev = st.st_dev;
    place->index_ino = st.st_ino;
    return can_execute(place->index) ? NULL : "its files cannot be mapped executable";
}

/* A number that is another one after the next start of the system; 0 = it cannot be told. */
static uint64_t this_boot(void)
{
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    char text[40];
    ssize_t got;

    if (fd < 0)
        return 0;
    got = read(fd, text, sizeof(text));
    close(fd);
    return got >= 36 ? mm_cache_sum(text, 36) : 0;
}

/* ---- the limit ------------------------------------------------------------------------------- */

static uint64_t limit_of_environment(void)
{
    static const char units[] = "kmg";
    const char *text = secure_getenv("PELDR_CACHE_SIZE"), *unit;
    unsigned long long value;
    char *end;

    if (text == NULL || *text < '0' || *text > '9')
        return MM_CACHE_LIMIT;
    errno = 0;
    value = strtoull(text, &end, 10);
    if (*end != '\0' && end[1] == '\0' && (unit = strchr(units, *end | 0x20)) != NULL) {
        uint32_t shift = 10 * (uint32_t)(unit - units + 1);

        if (value > UINT64_MAX >> shift)
            return UINT64_MAX;
        value <<= shift;
        end++;
    }
    return errno != 0 || *end != '\0' || value == 0 ? MM_CACHE_LIMIT : value;
}

/* ---- all of it ------------------------------------------------------------------------------- */

struct mm_cache_place *mm_cache_place_open(const char *wanted, uint64_t limit)
{
    struct mm_cache_place *place = calloc(1, sizeof(*place));
    struct choice choice;

    if (place == NULL)
        return NULL;
    place->references = 1;
    place->dir = place->index = -1;
    place->limit = limit != 0 ? limit : limit_of_environment();
    place->why = choose(wanted, &choice);
    if (place->why == NULL)
        place->why = open_folder(&choice, &place->dir);
    place->path = choice.path;
    if (place->why == NULL)
        place->why = check_folder(place);
    if (place->why == NULL)
        place->why = check_file_system(place->dir);
    if (place->why == NULL)
        place->why = open_index(place);
    if (place->why == NULL)
        place->boot = this_boot();
    else
        mm_cache_place_close(place);
    return place;
}

/* A host that closed what it does not know may have a file of its own by that number. */
static void close_own(int fd, uint64_t dev, uint64_t ino)
{
    struct stat st;

    if (fd >= 0 && fstat(fd, &st) == 0 && st.st_dev == dev && st.st_ino == ino)
        close(fd);
}

void mm_cache_place_close(struct mm_cache_place *place)
{
    close_own(place->dir, place->dir_dev, place->dir_ino);
    close_own(place->index, place->index_dev, place->index_ino);
    place->dir = place->index = -1;
}
