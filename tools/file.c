/* The image file of a subcommand, and the choice of the process that can run it: see cli.h. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "loader/peldr.h"
#include "tools/cli.h"

/* Read, not mapped: a file that shrinks while we look at it must not kill us. */
static bool read_whole(int fd, uint64_t size, struct pe_span *out)
{
    uint8_t *data = malloc(size ? size : 1);
    uint64_t done = 0;
    if (!data)
        return false;
    while (done < size) {
        ssize_t n = read(fd, data + done, size - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        done += (uint64_t)n;
    }
    *out = (struct pe_span){data, done};
    return true;
}

static bool read_file(const char *path, struct pe_span *out)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool ok = false;
    if (fd < 0) {
        cli_fail("%s: %s", path, strerror(errno));
    } else if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        cli_fail("%s: not a regular file", path);
    } else {
        ok = read_whole(fd, (uint64_t)st.st_size, out);
        if (!ok)
            cli_fail("%s: not enough memory for %lld bytes", path, (long long)st.st_size);
    }
    if (fd >= 0)
        close(fd);
    return ok;
}

bool cli_file_open(const char *path, struct cli_file *out)
{
    struct pe_error err = {0};
    *out = (struct cli_file){.path = path};
    if (!read_file(path, &out->bytes))
        return false;
    if (nt_ok(pe_open(out->bytes, PE_LAYOUT_FILE, &out->image, &err))) {
        out->image.windows = (enum pe_windows)peldr_windows();
        return true;
    }
    cli_fail("%s: %s: %s", path, nt_status_name(err.status), err.text);
    cli_file_close(out);
    return false;
}

void cli_file_close(struct cli_file *file)
{
    free((void *)file->bytes.data);
    file->bytes = (struct pe_span){0};
}

/* True when the file holds PE32 or PE32+ code for the other word size of x86. The NT headers may
 * stand anywhere in it. */
static bool is_for_sibling(const char *path)
{
    const uint16_t other = sizeof(void *) == 8 ? IMAGE_FILE_MACHINE_I386 : IMAGE_FILE_MACHINE_AMD64;
    uint8_t head[0x40] = {0}, nt[6] = {0};
    uint32_t lfanew = 0, signature = 0;
    uint16_t machine = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool read = pread(fd, head, sizeof head, 0) > 0 &&
                pe_u32((struct pe_span){head, sizeof head}, 0x3c, &lfanew) &&
                pread(fd, nt, sizeof nt, (off_t)lfanew) == (ssize_t)sizeof nt;
    close(fd);
    pe_u32((struct pe_span){nt, sizeof nt}, 0, &signature);
    pe_u16((struct pe_span){nt, sizeof nt}, 4, &machine);
    return read && signature == 0x4550 && machine == other;
}

void cli_hand_over(const char *path, const struct cli *cli)
{
    const char *sibling = sizeof(void *) == 8 ? "peldr32" : "peldr";
    char self[PATH_MAX];
    ssize_t n;
    if (!is_for_sibling(path))
        return;
    n = readlink("/proc/self/exe", self, sizeof self - sizeof "/peldr32");
    if (n > 0) {
        self[n] = '\0';
        strcpy(strrchr(self, '/') + 1, sibling);
        execv(self, cli->original);
    }
    exit(cli_fail("%s is a %s image and needs %s beside this command (%s: %s)", path,
                  sizeof(void *) == 8 ? "32-bit (PE32)" : "64-bit (PE32+)", sibling, self,
                  strerror(errno)));
}
