/*
 * Fuzz target: the verdict on any bytes. What the rules say agrees with what the loader does, for
 * each version of Windows and for programs and DLLs: an image that is refused by a rule is not
 * mapped or loaded, and an image that the loader refuses by a rule was refused by that rule. A file
 * gets the verdict that its bytes in memory get.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "loader/ldr/ldr.h"
#include "loader/mm/section.h"
#include "pe/rules.h"
#include "tests/fuzz/bounds.h"
#include "tests/fuzz/fuzz.h"

#define MAX_BROKEN 64u

static void must(bool holds)
{
    if (!holds)
        abort();
}

/* The rules that one version broke, as ldr_verify() told. */
struct broken {
    struct pe_span bytes;
    const struct pe_rule *rules[MAX_BROKEN];
    uint32_t count;
};

static void note(void *user, enum pe_windows windows, const struct pe_rule *rule,
                 const struct pe_finding *found)
{
    struct broken *broken = user;
    must((rule->windows & windows) != 0 && rule->id[0] != '\0' && rule->text[0] != '\0');
    must(found->field[0] != '\0' && found->text[0] != '\0');
    must(memchr(found->field, 0, sizeof(found->field)) != NULL);
    must(memchr(found->text, 0, sizeof(found->text)) != NULL);
    must(broken->count < MAX_BROKEN);
    broken->rules[broken->count++] = rule;
}

static bool is_broken(const struct broken *broken, const char *id)
{
    for (uint32_t i = 0; i < broken->count; i++)
        if (strcmp(broken->rules[i]->id, id) == 0)
            return true;
    return false;
}

/* The verdict of one version; false where it is not known. */
static bool verify(struct pe_span bytes, enum pe_windows windows, uint8_t role,
                   struct broken *broken, bool *accepted)
{
    struct ldr_verification how = {
        .windows = (uint8_t)windows, .role = role, .visit = note, .user = broken};
    struct pe_error err = {0};
    uint8_t versions = 0;
    *broken = (struct broken){.bytes = bytes};
    nt_status status = ldr_verify_memory(bytes, "fuzz", &how, &versions, &err);
    if (!nt_ok(status)) {
        must(err.text[0] != '\0');
        return false;
    }
    must((versions & ~(unsigned)windows) == 0);
    *accepted = versions != 0;
    must(*accepted == (broken->count == 0));
    return true;
}

/* The first stage: a section object is made of exactly what no rule of it refuses. */
static void check_section(struct pe_span bytes, enum pe_windows windows)
{
    struct pe_image image;
    struct pe_error by_rule = {0}, err = {0};
    struct mm_section *section;
    nt_status expected = pe_admit(bytes, windows, &image, &by_rule);
    nt_status status = mm_section_create_image_from_memory(bytes.data, bytes.size, "fuzz", windows,
                                                           &section, &err);
    if (nt_ok(status)) {
        must(nt_ok(expected));
        mm_section_unref(section);
    } else {
        must(err.text[0] != '\0');
        must(nt_ok(expected) ? err.rule == NULL : status == expected);
        must(nt_ok(expected) || bytes.size == 0 || strcmp(err.rule, by_rule.rule) == 0);
    }
}

/* Nothing of it runs, and what it imports is looked for among builtin modules, of which there are
 * none. */
static void check_load(struct pe_span bytes, enum pe_windows windows, uint8_t role)
{
    bool program = role == PE_ROLE_PROGRAM, accepted;
    struct ldr_load_options options = {.name = program ? "fuzz.exe" : "fuzz.dll",
                                       .bytes = bytes.data,
                                       .size = bytes.size,
                                       .flags = program ? LDR_EXE : LDR_DONT_RESOLVE};
    struct ldr_module *module = NULL;
    struct broken broken;
    struct pe_error err = {0};
    if (!verify(bytes, windows, role, &broken, &accepted))
        return;
    mm_set_windows(windows);
    nt_status status = ldr_load(&options, &module, &err);
    must(nt_ok(status) ? accepted : err.text[0] != '\0');
    /* At its own base, which may be taken here, it need not move. */
    if (!nt_ok(status) && err.rule && (!accepted || strncmp(err.rule, "reloc.", 6) != 0))
        must(is_broken(&broken, err.rule));
    ldr_shutdown();
}

static void check_file(struct pe_span bytes)
{
    struct ldr_verification how = {.windows = PE_WINDOWS_ALL};
    uint8_t of_memory = 0, of_file = 0;
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    if (fd < 0)
        return;
    if (write(fd, bytes.data, (size_t)bytes.size) == (ssize_t)bytes.size &&
        nt_ok(ldr_verify_memory(bytes, "fuzz", &how, &of_memory, NULL)) &&
        nt_ok(ldr_verify(fd, "fuzz", &how, &of_file, NULL)))
        must(of_memory == of_file);
    close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_bounds bounds = fuzz_bounds_begin();
    uint8_t *copy = malloc(size ? size : 1);
    if (!copy)
        return 0;
    memcpy(copy, data, size);
    struct pe_span bytes = {copy, size};
    for (unsigned windows = PE_WINDOWS_XP; windows <= PE_WINDOWS_10; windows *= 2)
        check_section(bytes, (enum pe_windows)windows);
    check_file(bytes);
    check_load(bytes, fuzz_windows(data, size), PE_ROLE_PROGRAM);
    check_load(bytes, fuzz_windows(data, size), PE_ROLE_DLL);
    free(copy);
    fuzz_bounds_end(&bounds, size);
    return 0;
}
