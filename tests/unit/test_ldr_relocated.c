/*
 * The relocated form of an image in the cache: who moves the image next finds it there, with the
 * right addresses and not a page of its own; what must not be shared is not.
 *
 * Every load runs in a child that knows nothing of the ones before.
 */
#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "loader/ldr/ldr.h"
#include "loader/mm/cache.h"
#include "loader/mm/view.h"
#include "tests/pebuild.h"
#include "tests/unit/status.h"
#include "tests/unit/tempdir.h"

enum {
    DATA = 0x1000,
    PAGES = 20,
    DENSE_PAGES = 0x480,
    POINTER = sizeof(void *),
    FLAGS = PEBUILD_DLL | (sizeof(void *) == 8 ? PEBUILD_PE32_PLUS : 0),
    TYPE = sizeof(void *) == 8 ? 10 : 3,
};
static const uint64_t preferred = 0x51000000;

/* ---- images ---- */

static uint32_t target_of(uint32_t page)
{
    return DATA + page * 0x1000 + 0x123;
}

static struct pebuild *empty_image(void)
{
    struct pebuild *b = pebuild_new(FLAGS);
    b->h.image_base = preferred;
    b->h.characteristics |= IMAGE_FILE_LARGE_ADDRESS_AWARE;
    b->h.dll_characteristics |= IMAGE_DLLCHARACTERISTICS_DYNAMIC_BASE;
    return b;
}

/* Each begins with a pointer to somewhere else in them. */
static void write_pages(struct pebuild *b, uint8_t *data, uint32_t count)
{
    for (uint32_t page = 0; page < count; page++) {
        uint8_t *at = data + page * 0x1000;
        memset(at, 'a' + (int)page % 26, 0x1000);
        pebuild_put32(at, 0, (uint32_t)preferred + target_of(page));
        memset(at + 4, 0, POINTER - 4);
        pebuild_fixup(b, DATA + page * 0x1000, TYPE);
    }
}

/* `also` has a fixup, too. */
static struct pebuild *image_and(uint32_t characteristics, uint32_t also)
{
    static uint8_t data[PAGES * 0x1000];
    struct pebuild *b = empty_image();
    write_pages(b, data, PAGES);
    pebuild_section(b, ".data", characteristics, data, sizeof data, 0);
    if (also != 0)
        pebuild_fixup(b, also, TYPE);
    pebuild_relocs(b);
    return b;
}

/* The same with more data behind it, which has a huge page's room for itself. */
static uint8_t large_data[0x480123];

static struct pebuild *large_image(void)
{
    struct pebuild *b = empty_image();
    for (uint32_t i = 0; i < sizeof large_data; i++)
        large_data[i] = (uint8_t)(i * 7 + (i >> 9));
    write_pages(b, large_data, PAGES);
    pebuild_section(b, ".data", PEBUILD_DATA, large_data, sizeof large_data,
                    sizeof large_data + 0x3000);
    pebuild_relocs(b);
    return b;
}

/* All pages have fixups, of tables that are read as of the data behind them: no matter where one
 * PE section ends and the other begins. */
static struct pebuild *dense_image(uint32_t table_pages)
{
    struct pebuild *b = empty_image();
    write_pages(b, large_data, DENSE_PAGES);
    pebuild_section(b, ".rdata", PEBUILD_RDATA, large_data, table_pages * 0x1000, 0);
    pebuild_section(b, ".data", PEBUILD_DATA, large_data + table_pages * 0x1000,
                    (DENSE_PAGES - table_pages) * 0x1000, 0);
    pebuild_relocs(b);
    return b;
}

static struct pebuild *image(uint32_t characteristics)
{
    return image_and(characteristics, 0);
}

/* Written long enough ago that its change time would tell of another change. */
static void write_image(const char *name, struct pebuild *b)
{
    assert_true(pebuild_finish_file(b, tempdir_path(name)));
    usleep(100000);
}

/* ---- one load in a child ---- */

struct seen {
    nt_status status;
    uint64_t base, shown_base, private_pages;
    uint64_t written; /* bytes, into files */
    uint32_t pages, wrong_pointers, fixups, pages_dirtied;
    uint32_t wrong_bytes; /* of the large image's data */
    bool applied, cached;
    char because[256], error[1024];
};

static uint64_t pointer_at(uint64_t address)
{
    uintptr_t value;
    memcpy(&value, (const void *)(uintptr_t)address, sizeof value);
    return value;
}

static void look_at(struct ldr_module *module, struct seen *seen)
{
    const struct reloc_plan *plan = ldr_module_relocation(module);
    struct mm_region region;
    seen->base = ldr_module_base(module);
    seen->shown_base = mm_view_shown_base(ldr_module_view(module));
    seen->applied = plan->outcome == RELOC_APPLIED;
    seen->cached = ldr_module_relocation_is_cached(module);
    seen->fixups = plan->fixups[TYPE];
    seen->pages_dirtied = plan->pages_dirtied;
    snprintf(seen->because, sizeof seen->because, "%s", ldr_module_moved_because(module));
    for (uint32_t page = 0; page < seen->pages; page++)
        seen->wrong_pointers +=
            pointer_at(seen->base + DATA + page * 0x1000) != seen->base + target_of(page) ||
            *(const uint8_t *)(uintptr_t)(seen->base + target_of(page)) != 'a' + page % 26;
    for (uint32_t cursor = 0; mm_view_next_region(ldr_module_view(module), &cursor, &region);)
        seen->private_pages += region.pages_private;
}

struct how {
    const char *name;
    uint64_t base;
    uint32_t flags;
    bool free;      /* the preferred base */
    uint64_t taken; /* somewhere else, too */
    uint32_t pages; /* with pointers; 0 = PAGES */
    enum pe_windows windows;
};

static bool take(uint64_t address)
{
    return mmap((void *)(uintptr_t)address, 0x1000, PROT_NONE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1,
                0) == (void *)(uintptr_t)address;
}

/* By this process (proc_pid_io(5)); 0 where the kernel does not count. */
static uint64_t bytes_written(void)
{
    FILE *io = fopen("/proc/self/io", "r");
    unsigned long long count = 0;
    if (io && fscanf(io, "rchar: %*u wchar: %llu", &count) != 1)
        count = 0;
    if (io)
        fclose(io);
    return count;
}

static uint32_t count_wrong_bytes(uint64_t base)
{
    const uint8_t *data = (const uint8_t *)(uintptr_t)(base + DATA);
    uint32_t wrong = 0;
    for (uint32_t i = PAGES * 0x1000; i < sizeof large_data + 0x3000; i++)
        wrong += data[i] != (i < sizeof large_data ? large_data[i] : 0);
    return wrong;
}

static void load_here(const struct how *how, struct seen *seen)
{
    struct ldr_load_options options = {
        .name = tempdir_path(how->name), .base = how->base, .flags = how->flags};
    struct ldr_module *module;
    struct pe_error err = {0};
    if (how->windows)
        mm_set_windows(how->windows);
    if ((!how->free && !take(preferred)) || (how->taken && !take(how->taken)))
        _exit(1);
    seen->pages = how->pages ? how->pages : PAGES;
    seen->written = bytes_written();
    seen->status = ldr_load(&options, &module, &err);
    seen->written = bytes_written() - seen->written;
    snprintf(seen->error, sizeof seen->error, "%s", err.text);
    if (nt_ok(seen->status))
        look_at(module, seen);
    if (nt_ok(seen->status) && strstr(how->name, "large") != NULL)
        seen->wrong_bytes = count_wrong_bytes(seen->base);
}

static struct seen *shared_memory(void)
{
    struct seen *seen =
        mmap(NULL, 3 * sizeof *seen, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(seen, MAP_FAILED);
    return seen;
}

static pid_t start(const struct how *how, struct seen *shared)
{
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        load_here(how, shared);
        _exit(0);
    }
    return child;
}

static struct seen end(pid_t child, struct seen *shared)
{
    struct seen seen;
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    seen = *shared;
    munmap(shared, 3 * sizeof *shared);
    return seen;
}

static struct seen load(const struct how *how)
{
    struct seen *shared = shared_memory();
    return end(start(how, shared), shared);
}

static struct seen load_moved(const char *name)
{
    return load(&(struct how){.name = name});
}

/* Right in every way, whoever has applied the fixups. */
static void check_right(const struct seen *seen)
{
    assert_string_equal(seen->error, "");
    assert_true(seen->base != preferred);
    assert_true(seen->shown_base == seen->base);
    assert_true(seen->applied);
    assert_int_equal(seen->wrong_pointers, 0);
    assert_int_equal(seen->fixups, seen->pages);
    assert_int_equal(seen->pages_dirtied, seen->pages);
    assert_non_null(strstr(seen->because, "0x51000000-0x51000fff is taken by"));
}

static void check_source(const struct seen *seen, bool cached)
{
    check_right(seen);
    assert_int_equal(seen->cached, cached);
}

/* ---- the entries ---- */

/* Those of relocated forms, by the base in their names; `path` gets the last one's. */
static uint32_t relocated_entries(char *path, size_t size)
{
    DIR *dir = opendir(tempdir_path("cache"));
    uint32_t count = 0;
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        if (!strchr(entry->d_name, '-') || strncmp(entry->d_name, "new-", 4) == 0)
            continue;
        count++;
        if (path)
            snprintf(path, size, "%s/%s", tempdir_path("cache"), entry->d_name);
    }
    if (dir)
        closedir(dir);
    return count;
}

/* Those of images as their files have them. */
static uint32_t plain_entries(void)
{
    DIR *dir = opendir(tempdir_path("cache"));
    uint32_t count = 0;
    for (struct dirent *entry; dir && (entry = readdir(dir));)
        count += strchr(entry->d_name, '.') > entry->d_name && !strchr(entry->d_name, '-');
    if (dir)
        closedir(dir);
    return count;
}

static void change_byte(const char *path, off_t at)
{
    uint8_t byte;
    assert_int_equal(chmod(path, 0600), 0);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 1;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    assert_int_equal(fchmod(fd, 0400), 0);
    close(fd);
}

static int setup(void **state)
{
    return tempdir_create_for_images();
}

static int teardown(void **state)
{
    return tempdir_remove();
}

static int empty_cache(void **state)
{
    tempdir_empty("cache");
    return 0;
}

/* ---- tests ---- */

static void the_next_process_finds_it(void **state)
{
    struct seen first, second, third;
    write_image("a.dll", image(PEBUILD_DATA));
    first = load_moved("a.dll");
    second = load_moved("a.dll");
    third = load_moved("a.dll");
    check_source(&first, false);
    check_right(&second);
    check_source(&third, true);
    assert_true(second.base == first.base && third.base == first.base);
    assert_int_equal(relocated_entries(NULL, 0), 1);
    /* Also the one that has applied the fixups shares its pages. */
    assert_int_equal(first.private_pages, 0);
    assert_int_equal(second.private_pages, 0);
    assert_int_equal(third.private_pages, 0);
}

/* All at once, with nothing there: one of them makes it, and each has its pages. */
static void of_many_at_once_one_makes_it(void **state)
{
    enum { MANY = 6 };
    const struct how how = {.name = "a.dll"};
    struct seen *shared[MANY], seen[MANY];
    pid_t children[MANY];
    write_image("a.dll", image(PEBUILD_DATA));
    for (int i = 0; i < MANY; i++)
        children[i] = start(&how, shared[i] = shared_memory());
    for (int i = 0; i < MANY; i++) {
        seen[i] = end(children[i], shared[i]);
        check_right(&seen[i]);
        assert_true(seen[i].base == seen[0].base);
        assert_int_equal(seen[i].private_pages, 0);
    }
    assert_int_equal(relocated_entries(NULL, 0), 1);
}

static void who_need_not_move_has_none(void **state)
{
    write_image("first.dll", image(PEBUILD_DATA));
    struct seen at_base = load(&(struct how){.name = "first.dll", .free = true});
    assert_true(at_base.base == preferred);
    assert_false(at_base.applied);
    assert_false(at_base.cached);
    assert_int_equal(at_base.private_pages, 0);
    assert_string_equal(at_base.because, "");
    assert_int_equal(relocated_entries(NULL, 0), 0);
}

static void check_at_preferred(const struct seen *seen)
{
    assert_string_equal(seen->error, "");
    assert_true(seen->base == preferred);
    assert_true(seen->shown_base == preferred);
    assert_false(seen->applied);
    assert_int_equal(seen->wrong_pointers, 0);
    assert_int_equal(seen->private_pages, 0);
}

/* The pages of an image are written once, for where it goes. */
static void each_form_is_made_when_it_is_needed(void **state)
{
    struct seen seen;
    write_image("a.dll", image(PEBUILD_DATA));
    seen = load_moved("a.dll");
    check_source(&seen, false);
    assert_int_equal(seen.private_pages, 0);
    assert_int_equal(plain_entries(), 0);
    assert_int_equal(relocated_entries(NULL, 0), 1);
    seen = load(&(struct how){.name = "a.dll", .free = true});
    check_at_preferred(&seen);
    assert_int_equal(plain_entries(), 1);
    seen = load_moved("a.dll");
    check_source(&seen, true);
    assert_int_equal(seen.private_pages, 0);
    assert_int_equal(plain_entries(), 1);
    assert_int_equal(relocated_entries(NULL, 0), 1);
}

/* What a process knows of an image that has moved serves it as well where it need not. */
static void in_one_process(struct seen seen[3])
{
    struct ldr_load_options options = {.name = tempdir_path("a.dll")};
    struct ldr_module *module;
    if (!take(preferred))
        _exit(1);
    for (int i = 0; i < 3; i++) {
        struct pe_error err = {0};
        if (i == 2)
            munmap((void *)(uintptr_t)preferred, 0x1000);
        seen[i].pages = PAGES;
        seen[i].status = ldr_load(&options, &module, &err);
        snprintf(seen[i].error, sizeof seen[i].error, "%s", err.text);
        if (!nt_ok(seen[i].status))
            _exit(2);
        look_at(module, &seen[i]);
        if (!nt_ok(ldr_unload(module, &err)))
            _exit(3);
    }
}

static void one_process_loads_both(void **state)
{
    struct seen *seen = shared_memory();
    int status;
    write_image("a.dll", image(PEBUILD_DATA));
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        in_one_process(seen);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    check_source(&seen[0], false);
    check_source(&seen[1], true);
    check_at_preferred(&seen[2]);
    assert_int_equal(plain_entries(), 1);
    assert_int_equal(relocated_entries(NULL, 0), 1);
    munmap(seen, 3 * sizeof *seen);
}

static void large_data_is_all_there(void **state)
{
    const struct how at_preferred = {.name = "large.dll", .free = true};
    struct seen seen;
    write_image("large.dll", large_image());
    for (int i = 0; i < 2; i++) {
        seen = load_moved("large.dll");
        check_source(&seen, i > 0);
        assert_int_equal(seen.wrong_bytes, 0);
        assert_int_equal(seen.private_pages, 0);
    }
    assert_int_equal(plain_entries(), 0);
    seen = load(&at_preferred);
    check_at_preferred(&seen);
    assert_int_equal(seen.wrong_bytes, 0);
}

/* It was laid out for a form that nobody may use, and is there as the file has it. */
static void dense_fixups_reach_over_pe_sections(void **state)
{
    static const uint32_t table_pages[] = {0x20, 0x100, 0x201, 0x27f};
    const struct how how = {.name = "dense.dll", .pages = DENSE_PAGES};
    for (size_t i = 0; i < sizeof table_pages / sizeof *table_pages; i++) {
        struct seen first, second;
        write_image("dense.dll", dense_image(table_pages[i]));
        first = load(&how);
        second = load(&how);
        check_source(&first, false);
        check_source(&second, true);
    }
}

static void large_data_of_refused_images(void **state)
{
    const struct how moved = {.name = "large.dll", .flags = LDR_MAP_ONLY};
    const struct how at_preferred = {.name = "large.dll", .flags = LDR_MAP_ONLY, .free = true};
    struct pebuild *b = large_image();
    b->h.directory[IMAGE_DIRECTORY_ENTRY_IMPORT] = (struct pe_directory){DATA, 0};
    write_image("large.dll", b);
    for (int i = 0; i < 2; i++) {
        struct seen seen = load(&moved);
        check_source(&seen, false);
        assert_int_equal(seen.wrong_bytes, 0);
        assert_int_equal(relocated_entries(NULL, 0), 0);
        assert_int_equal(plain_entries(), 1);
    }
    struct seen seen = load(&at_preferred);
    check_at_preferred(&seen);
    assert_int_equal(seen.wrong_bytes, 0);
}

/* A base that was asked for is nobody else's: the image is made as its file has it. */
static void asked_bases_have_none(void **state)
{
    const struct how how = {.name = "a.dll", .base = 0x54320000};
    write_image("a.dll", image(PEBUILD_DATA));
    for (int i = 0; i < 2; i++) {
        struct seen seen = load(&how);
        assert_string_equal(seen.error, "");
        assert_true(seen.base == 0x54320000);
        assert_int_equal(seen.wrong_pointers, 0);
        assert_int_equal(plain_entries(), 1);
        assert_int_equal(relocated_entries(NULL, 0), 0);
    }
}

/* A section object that somebody else may map is what it is from the beginning, though its file
 * may become another one. */
static void make_section(struct seen *seen)
{
    struct mm_map_options options = {.base = 0x54320000, .exact = true, .shared_fd = -1};
    struct mm_section *section;
    struct mm_view *view;
    struct pe_error err = {0};
    int fd = open(tempdir_path("a.dll"), O_RDWR | O_CLOEXEC);
    if (!take(preferred) ||
        !nt_ok(mm_section_create_image(fd, "a.dll", PE_WINDOWS_10, &section, &err)) ||
        !nt_ok(mm_section_finish(section, &err)) || pwrite(fd, "?", 1, 0x400 + 0x200) != 1)
        _exit(1);
    seen->status = mm_view_map(section, &options, &view, NULL, 0, &err);
    snprintf(seen->error, sizeof seen->error, "%s", err.text);
    if (nt_ok(seen->status))
        seen->shown_base = *(const uint8_t *)(uintptr_t)(options.base + DATA + 0x200);
}

static void sections_for_others_are_made_at_once(void **state)
{
    struct seen *shared = shared_memory();
    write_image("a.dll", image(PEBUILD_DATA));
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        make_section(shared);
        _exit(0);
    }
    struct seen seen = end(child, shared);
    assert_string_equal(seen.error, "");
    assert_int_equal(seen.shown_base, 'a');
    assert_int_equal(plain_entries(), 1);
}

/* Wherever it goes, the fixups are those for there. */
static void other_bases_are_other_forms(void **state)
{
    write_image("a.dll", image(PEBUILD_DATA));
    struct seen stable = load_moved("a.dll");
    check_right(&stable);
    struct how how = {.name = "a.dll", .base = 0x54320000};
    struct seen asked = load(&how);
    assert_true(asked.base == 0x54320000);
    assert_int_equal(asked.wrong_pointers, 0);
    assert_false(asked.cached);
    assert_int_equal(asked.private_pages, PAGES + 1); /* the header shows the base */
    assert_int_equal(relocated_entries(NULL, 0), 1);
    /* Another copy of the file is another image. */
    write_image("b.dll", image(PEBUILD_DATA));
    struct seen copy = load_moved("b.dll");
    check_source(&copy, false);
    assert_true(copy.base != stable.base);
}

/* Where it goes as a rule is taken, too: it has a second place, and nothing is written for the
 * first one again. */
static void what_cannot_be_had_is_not_laid_out(void **state)
{
    write_image("a.dll", image(PEBUILD_DATA));
    struct seen first = load_moved("a.dll");
    check_right(&first);
    if (first.written == 0)
        skip();
    assert_true(first.written > PAGES * 0x1000);
    assert_int_equal(empty_cache(state), 0);
    struct how how = {.name = "a.dll", .taken = first.base + 0x1000};
    struct seen second = load(&how);
    check_source(&second, false);
    assert_true(second.base != first.base);
    load(&how); /* compared, perhaps */
    struct seen later = load(&how);
    check_source(&later, true);
    assert_true(later.base == second.base);
    assert_true(later.written < PAGES * 0x800);
}

static void a_damaged_form_is_not_used(void **state)
{
    char path[PATH_MAX * 2];
    write_image("a.dll", image(PEBUILD_DATA));
    struct seen seen = load_moved("a.dll");
    check_right(&seen);
    for (off_t at = 0; at < DATA + PAGES * 0x1000; at += 0x1800) {
        assert_int_equal(relocated_entries(path, sizeof path), 1);
        change_byte(path, at);
        seen = load_moved("a.dll");
        check_source(&seen, false);
        assert_int_equal(seen.private_pages, 0); /* a new one was made */
    }
    seen = load_moved("a.dll");
    check_right(&seen);
}

/* Somebody has touched the entry, which is what it was: it is compared, and used. */
static void a_touched_form_is_compared(void **state)
{
    char path[PATH_MAX * 2];
    struct stat before, after;
    write_image("a.dll", image(PEBUILD_DATA));
    struct seen seen = load_moved("a.dll");
    check_right(&seen);
    assert_int_equal(relocated_entries(path, sizeof path), 1);
    assert_int_equal(chmod(path, 0400), 0);
    assert_int_equal(stat(path, &before), 0);
    usleep(100000);
    seen = load_moved("a.dll");
    check_source(&seen, false);
    assert_int_equal(seen.private_pages, 0);
    assert_int_equal(stat(path, &after), 0);
    assert_true(before.st_ino == after.st_ino);
    seen = load_moved("a.dll");
    check_source(&seen, true);
}

static void a_changed_file_has_its_own(void **state)
{
    write_image("a.dll", image(PEBUILD_DATA));
    struct seen seen = load_moved("a.dll");
    check_right(&seen);
    change_byte(tempdir_path("a.dll"), 0x400 + 0x200); /* among the letters of the first page */
    seen = load_moved("a.dll");
    check_source(&seen, false);
    seen = load_moved("a.dll");
    check_right(&seen);
}

/* An image that is mapped for its owner alone uses what is there; its rules have been asked. */
static void map_only(void **state)
{
    const struct how how = {.name = "a.dll", .flags = LDR_MAP_ONLY};
    write_image("a.dll", image(PEBUILD_DATA));
    struct seen first = load(&how), second = load(&how), third = load_moved("a.dll");
    check_source(&first, false);
    check_right(&second);
    check_right(&third);
    assert_int_equal(second.private_pages, 0);
    assert_true(third.base == first.base);
}

/* A DLL that Windows would refuse is mapped for its owner, but nobody is to load what comes of it.
 */
static void refused_images_have_none(void **state)
{
    const struct how how = {.name = "bad.dll", .flags = LDR_MAP_ONLY};
    struct pebuild *b = image(PEBUILD_DATA);
    b->h.directory[IMAGE_DIRECTORY_ENTRY_IMPORT] = (struct pe_directory){DATA, 0};
    write_image("bad.dll", b);
    struct seen refused = load_moved("bad.dll"), mapped = load(&how);
    assert_false(nt_ok(refused.status));
    check_source(&mapped, false);
    assert_int_equal(relocated_entries(NULL, 0), 0);
    refused = load_moved("bad.dll");
    assert_false(nt_ok(refused.status));
}

static void shared_sections_have_none(void **state)
{
    write_image("a.dll", image(PEBUILD_DATA | IMAGE_SCN_MEM_SHARED));
    struct seen seen = load_moved("a.dll");
    assert_string_equal(seen.error, "");
    assert_int_equal(seen.wrong_pointers, 0);
    assert_int_equal(relocated_entries(NULL, 0), 0);
}

/* XP lets a fixup change e_lfanew (behaviours, Relocations); what follows is each load's matter. */
static void changed_headers_have_none(void **state)
{
    const struct how how = {.name = "a.dll", .windows = PE_WINDOWS_XP};
    if (sizeof(void *) != 4) /* XP loads PE32 only */
        skip();
    write_image("a.dll", image(PEBUILD_DATA));
    struct seen seen = load(&how);
    check_source(&seen, false);
    assert_int_equal(relocated_entries(NULL, 0), 1);
    empty_cache(state);
    write_image("a.dll", image_and(PEBUILD_DATA, 0x3c));
    seen = load(&how);
    assert_string_equal(seen.error, "");
    assert_int_equal(seen.fixups, PAGES + 1);
    assert_int_equal(relocated_entries(NULL, 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(the_next_process_finds_it, empty_cache),
        cmocka_unit_test_setup(of_many_at_once_one_makes_it, empty_cache),
        cmocka_unit_test_setup(who_need_not_move_has_none, empty_cache),
        cmocka_unit_test_setup(each_form_is_made_when_it_is_needed, empty_cache),
        cmocka_unit_test_setup(one_process_loads_both, empty_cache),
        cmocka_unit_test_setup(large_data_is_all_there, empty_cache),
        cmocka_unit_test_setup(dense_fixups_reach_over_pe_sections, empty_cache),
        cmocka_unit_test_setup(large_data_of_refused_images, empty_cache),
        cmocka_unit_test_setup(asked_bases_have_none, empty_cache),
        cmocka_unit_test_setup(sections_for_others_are_made_at_once, empty_cache),
        cmocka_unit_test_setup(other_bases_are_other_forms, empty_cache),
        cmocka_unit_test_setup(what_cannot_be_had_is_not_laid_out, empty_cache),
        cmocka_unit_test_setup(a_damaged_form_is_not_used, empty_cache),
        cmocka_unit_test_setup(a_touched_form_is_compared, empty_cache),
        cmocka_unit_test_setup(a_changed_file_has_its_own, empty_cache),
        cmocka_unit_test_setup(map_only, empty_cache),
        cmocka_unit_test_setup(refused_images_have_none, empty_cache),
        cmocka_unit_test_setup(shared_sections_have_none, empty_cache),
        cmocka_unit_test_setup(changed_headers_have_none, empty_cache),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
