/*
 * The public API: Windows versions, and their verdict (loader/peldr.h).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "loader/ldr/ldr.h"
#include "loader/peldr_api.h"

_Static_assert((int)PELDR_WINDOWS_XP == (int)PE_WINDOWS_XP &&
                   (int)PELDR_WINDOWS_7 == (int)PE_WINDOWS_7 &&
                   (int)PELDR_WINDOWS_10 == (int)PE_WINDOWS_10,
               "one set of versions");

int peldr_set_windows(int version)
{
    struct pe_error *err = peldr_begin();
    nt_status status = STATUS_SUCCESS;
    if (version != PELDR_WINDOWS_XP && version != PELDR_WINDOWS_7 && version != PELDR_WINDOWS_10) {
        status = pe_fail(err, STATUS_INVALID_PARAMETER, "%d is no Windows version", version);
    } else {
        mm_set_windows((enum pe_windows)version);
    }
    return peldr_result(status);
}

int peldr_windows(void)
{
    return (int)ldr_windows();
}

/* Before main(), so that a host need not know of it. */
__attribute__((constructor)) static void take_environment(void)
{
    static const struct {
        const char *name;
        enum pe_windows windows;
    } versions[] = {{"xp", PE_WINDOWS_XP}, {"7", PE_WINDOWS_7}, {"10", PE_WINDOWS_10}};
    const char *wanted = getenv("PELDR_WINDOWS");
    for (size_t i = 0; wanted && i < sizeof versions / sizeof *versions; i++) {
        if (strcasecmp(wanted, versions[i].name) == 0) {
            mm_set_windows(versions[i].windows);
        }
    }
}

struct telling {
    peldr_rule_visit visit;
    void *user;
};

static const char *stage_name(uint8_t stage)
{
    switch (stage) {
    case PE_STAGE_SECTION:
        return "section";
    case PE_STAGE_PROCESS:
        return "process";
    case PE_STAGE_LOADER:
        return "loader";
    default:
        return "move";
    }
}

static void tell(void *user, enum pe_windows windows, const struct pe_rule *rule,
                 const struct pe_finding *found)
{
    const struct telling *telling = user;
    struct peldr_broken_rule broken = {
        .windows = (int)windows,
        .id = rule->id,
        .text = rule->text,
        .versions = rule->windows,
        .stage = stage_name(rule->stage),
        .status = (uint32_t)rule->status,
        .field = found->field,
        .offset = found->offset,
        .value = found->value,
        .found = found->text,
    };
    if (telling->visit) {
        telling->visit(telling->user, &broken);
    }
}

static struct ldr_verification verification(int versions, struct telling *telling)
{
    return (struct ldr_verification){
        .windows = (uint8_t)(versions & PE_WINDOWS_ALL),
        .role = (uint8_t)((versions & PELDR_VERIFY_AS_PROGRAM ? PE_ROLE_PROGRAM : 0) |
                          (versions & PELDR_VERIFY_AS_DLL ? PE_ROLE_DLL : 0)),
        .visit = tell,
        .user = telling,
    };
}

int peldr_verify(const char *path, int versions, peldr_rule_visit visit, void *user)
{
    struct pe_error *err = peldr_begin();
    struct telling telling = {visit, user};
    struct ldr_verification how = verification(versions, &telling);
    uint8_t accepted = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return peldr_result(
            pe_fail(err, errno == ENOENT ? STATUS_OBJECT_NAME_NOT_FOUND : STATUS_ACCESS_DENIED,
                    "%s: %s", path, strerror(errno)));
    }
    nt_status status = ldr_verify(fd, path, &how, &accepted, err);
    close(fd);
    return peldr_result(status) == 0 ? accepted : -1;
}

int peldr_verify_memory(const void *bytes, size_t size, const char *name, int versions,
                        peldr_rule_visit visit, void *user)
{
    struct pe_error *err = peldr_begin();
    struct telling telling = {visit, user};
    struct ldr_verification how = verification(versions, &telling);
    struct pe_span span = {bytes, bytes ? size : 0};
    uint8_t accepted = 0;
    nt_status status = ldr_verify_memory(span, name ? name : "image", &how, &accepted, err);
    return peldr_result(status) == 0 ? accepted : -1;
}
