/*
 * What loading could be, without a loader:
 *   copy   each PE section read into fresh anonymous memory at its RVA, then protected, and with
 *          --fixups relocated first: how an image is mapped where nothing is kept (Wine does)
 *   floor  the mappings alone, of a page-aligned image that was made before, in the folder that is
 *          named after the image: the physical bound
 *   file   a new file with the pages, named and mapped, in that folder: the least that a first load
 *          can do which leaves something for the next one
 *   read   the file's bytes into fresh memory
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pe/image.h"
#include "pe/relocs.h"
#include "tests/bench/host_contenders.h"

enum { SECTIONS_MAX = 16 };

static const char *path;
static struct pe_image image; /* over the file's bytes */
static struct pe_section sections[SECTIONS_MAX];
static unsigned section_count;
static size_t image_size;
static bool relocates;
static char *base;
static char aligned_path[4096]; /* of the page-aligned image */

static void prepare(const struct options *options)
{
    struct stat st;
    struct pe_error error = {0};
    void *bytes;
    int fd;
    path = options->arguments[0];
    relocates = options->fixups;
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0)
        fail("%s cannot be read", path);
    bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
    if (bytes == MAP_FAILED ||
        pe_open((struct pe_span){bytes, (size_t)st.st_size}, PE_LAYOUT_FILE, &image, &error) != 0)
        fail("%s is no image", path);
    close(fd);
    image_size = pe_mapped_size(&image);
    section_count = image.h.number_of_sections;
    if (section_count > SECTIONS_MAX)
        fail("%s has more PE sections than twins have", path);
    for (unsigned i = 0; i < section_count; i++)
        pe_section_at(&image, i, &sections[i]);
}

static int protection(const struct pe_section *section)
{
    uint32_t c = section->characteristics;
    return (c & IMAGE_SCN_MEM_READ ? PROT_READ : 0) | (c & IMAGE_SCN_MEM_WRITE ? PROT_WRITE : 0) |
           (c & IMAGE_SCN_MEM_EXECUTE ? PROT_EXEC : 0);
}

static char *anonymous(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        fail("no memory");
    return memory;
}

static void read_at(int fd, void *to, size_t size, uint64_t offset)
{
    if (pread(fd, to, size, (off_t)offset) != (ssize_t)size)
        fail("%s cannot be read", path);
}

/* ---- copy -------------------------------------------------------------------------------------
 */

static void relocate(void)
{
    struct pe_directory directory = image.h.directory[IMAGE_DIRECTORY_ENTRY_BASERELOC];
    uintptr_t delta = (uintptr_t)base - (uintptr_t)image.h.image_base;
    const char *at = base + directory.rva, *end = at + directory.size;
    while (at < end) {
        const uint32_t *block = (const void *)at;
        const uint16_t *entry = (const void *)(block + 2);
        for (; (const char *)entry < at + block[1]; entry++)
            if (*entry >> 12)
                *(uintptr_t *)(base + block[0] + (*entry & 0xfff)) += delta;
        at += block[1];
    }
}

static void load_copy(void)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0)
        fail("%s cannot be read", path);
    base = anonymous(image_size);
    read_at(fd, base, image.h.size_of_headers, 0);
    for (unsigned i = 0; i < section_count; i++)
        read_at(fd, base + sections[i].virtual_address, sections[i].file_size,
                sections[i].file_offset);
    if (relocates)
        relocate();
    for (unsigned i = 0; i < section_count; i++)
        mprotect(base + sections[i].virtual_address, sections[i].mapped_size,
                 protection(&sections[i]));
    mprotect(base, PE_PAGE_SIZE, PROT_READ);
    close(fd);
}

static void unload(void)
{
    munmap(base, image_size);
}

static struct range range(void)
{
    return (struct range){base, image_size};
}

const struct contender contender_copy = {.name = "copy",
                                         .prepare = prepare,
                                         .inherited = true,
                                         .load = load_copy,
                                         .unload = unload,
                                         .range = range};

/* ---- floor ------------------------------------------------------------------------------------
 */

static void prepare_floor(const struct options *options)
{
    int fd;
    if (options->argument_count != 2)
        fail("floor wants an image and a folder");
    prepare(options);
    snprintf(aligned_path, sizeof aligned_path, "%s/aligned-%d", options->arguments[1], getpid());
    fd = open(aligned_path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
    load_copy();
    if (fd < 0 || write(fd, base, image_size) != (ssize_t)image_size || close(fd) != 0)
        fail("%s cannot be written", aligned_path);
    unload();
}

static void map_aligned(int fd)
{
    base = mmap(NULL, image_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (base == MAP_FAILED)
        fail("no memory");
    for (unsigned i = 0; i < section_count; i++)
        if (protection(&sections[i]) != PROT_READ)
            mmap(base + sections[i].virtual_address, sections[i].mapped_size,
                 protection(&sections[i]), MAP_PRIVATE | MAP_FIXED, fd,
                 sections[i].virtual_address);
}

static void load_floor(void)
{
    struct stat st;
    int fd = open(aligned_path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0)
        fail("the aligned image cannot be opened");
    map_aligned(fd);
    close(fd);
}

const struct contender contender_floor = {.name = "floor",
                                          .prepare = prepare_floor,
                                          .inherited = true,
                                          .load = load_floor,
                                          .unload = unload,
                                          .range = range};

/* ---- file -------------------------------------------------------------------------------------
 */

static int folder;

static void prepare_file(const struct options *options)
{
    if (options->argument_count != 2)
        fail("file wants an image and a folder");
    prepare(options);
    folder = open(options->arguments[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    snprintf(aligned_path, sizeof aligned_path, "new-%d", getpid());
}

static void remove_file(void)
{
    unlinkat(folder, aligned_path, 0);
}

static void put(int from, uint64_t offset, int to, uint64_t rva, size_t size)
{
    char page[PE_PAGE_SIZE];
    off_t at = (off_t)offset;
    if (size > sizeof page) {
        lseek(to, (off_t)rva, SEEK_SET);
        if (sendfile(to, from, &at, size) != (ssize_t)size)
            fail("%s cannot be copied", path);
        return;
    }
    read_at(from, page, size, offset);
    if (pwrite(to, page, size, (off_t)rva) != (ssize_t)size)
        fail("%s cannot be copied", path);
}

static void load_file(void)
{
    struct stat st;
    int from = open(path, O_RDONLY | O_CLOEXEC), file;
    if (from < 0 || fstat(from, &st) != 0)
        fail("%s cannot be read", path);
    file = openat(folder, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0400);
    if (file < 0)
        fail("no file without a name can be made");
    put(from, 0, file, 0, image.h.size_of_headers);
    for (unsigned i = 0; i < section_count; i++)
        put(from, sections[i].file_offset, file, sections[i].virtual_address,
            sections[i].file_size);
    char name[64];
    snprintf(name, sizeof name, "/proc/self/fd/%d", file);
    if (linkat(file, "", folder, aligned_path, AT_EMPTY_PATH) != 0 &&
        linkat(AT_FDCWD, name, folder, aligned_path, AT_SYMLINK_FOLLOW) != 0)
        fail("the file cannot be named");
    map_aligned(file);
    close(file);
    close(from);
}

const struct contender contender_file = {.name = "file",
                                         .prepare = prepare_file,
                                         .inherited = true,
                                         .before = remove_file,
                                         .load = load_file,
                                         .unload = unload,
                                         .range = range};

/* ---- read -------------------------------------------------------------------------------------
 */

static size_t read_size;

static void load_bytes(void)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0)
        fail("%s cannot be read", path);
    read_size = (size_t)st.st_size;
    base = anonymous(read_size);
    read_at(fd, base, read_size, 0);
    close(fd);
}

static void unload_bytes(void)
{
    munmap(base, read_size);
}

const struct contender contender_read = {.name = "read",
                                         .prepare = prepare,
                                         .inherited = true,
                                         .load = load_bytes,
                                         .unload = unload_bytes};
