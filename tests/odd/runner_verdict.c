/*
 * Odd images, the runner: what the rules say of an image.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "loader/ldr/ldr.h"
#include "tests/odd/runner.h"

struct verdict {
    char first[64]; /* the rule that refuses it, "" = none */
    char all[1024]; /* every broken rule with what was found */
    uint32_t count;
};

static bool note(void *user, const struct pe_rule *rule, const struct pe_finding *found)
{
    struct verdict *verdict = user;
    size_t length = strlen(verdict->all);
    if (verdict->count++ == 0)
        snprintf(verdict->first, sizeof(verdict->first), "%s", rule->id);
    snprintf(verdict->all + length, sizeof(verdict->all) - length, "%s%s (%s)", length ? ", " : "",
             rule->id, found->text);
    return true;
}

static void note_of_version(void *user, enum pe_windows windows, const struct pe_rule *rule,
                            const struct pe_finding *found)
{
    note(user, rule, found);
}

static uint8_t role_of(const struct odd_case *c)
{
    return c->row->dll ? PE_ROLE_DLL : PE_ROLE_PROGRAM;
}

static void judge(struct odd_case *c, struct verdict *verdict)
{
    struct pe_error err = {0};
    uint8_t accepted = 0;
    struct ldr_verification how = {.windows = (uint8_t)c->windows,
                                   .role = role_of(c),
                                   .visit = note_of_version,
                                   .user = verdict};
    int fd = open(c->path, O_RDONLY | O_CLOEXEC);
    nt_status status = ldr_verify(fd, c->path, &how, &accepted, &err);
    close(fd);
    if (!nt_ok(status))
        odd_complain(c, "there is no verdict: %s", err.text);
    else if ((accepted == c->windows) != (verdict->count == 0))
        odd_complain(c, "accepted is 0x%x, with %u broken rules", accepted, verdict->count);
}

/* A verdict ends with the stage that refuses; alone is what breaks no rule of a later one either.
 */
static void check_alone(struct odd_case *c)
{
    struct verdict verdict = {0};
    struct pe_span file = {c->odd.bytes, c->odd.size};
    struct pe_image image;
    if (!nt_ok(pe_open(file, PE_LAYOUT_FILE, &image, NULL)))
        return; /* there is nothing to ask the other rules about */
    image.windows = c->windows;
    if (c->row->file_size)
        image.file_size = c->row->file_size;
    pe_rules_each(&image, (struct pe_rule_query){PE_STAGE_SECTION, role_of(c)}, note, &verdict);
    pe_directories_as_mapped(&image);
    uint8_t later = PE_STAGE_PROCESS | PE_STAGE_LOADER;
    pe_rules_each(&image, (struct pe_rule_query){later, role_of(c)}, note, &verdict);
    if (verdict.count > 1 || (verdict.count == 1 && strcmp(verdict.first, c->refused) != 0))
        odd_complain(c, "not %s alone: %s", c->refused, verdict.all);
}

bool odd_is_alone(const struct odd_row *row, enum pe_windows windows)
{
    return row->alone && (!row->alone_on || row->alone_on & windows);
}

void odd_check_verdict(struct odd_case *c)
{
    struct verdict verdict = {0};
    judge(c, &verdict);
    if (c->refused && strcmp(verdict.first, c->refused) != 0)
        odd_complain(c, "not refused by rule %s: %s", c->refused,
                     verdict.count ? verdict.all : "accepted");
    else if (!c->refused && verdict.count)
        odd_complain(c, "refused: %s", verdict.all);
    else if (c->refused && odd_is_alone(c->row, c->windows))
        check_alone(c);
}
