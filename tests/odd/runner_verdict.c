/*
 * Odd images, the runner: what the rules say of an image.
 */
#include <stdio.h>
#include <string.h>

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
             rule->id, found ? found->text : "");
    return true;
}

static void judge(const struct odd_case *c, struct verdict *verdict)
{
    struct pe_image image;
    struct pe_error err = {0};
    struct pe_rule_query query = {PE_STAGE_SECTION | PE_STAGE_LOADER,
                                  c->row->dll ? PE_ROLE_DLL : PE_ROLE_PROGRAM};
    struct pe_span file = {c->odd.bytes, c->odd.size};
    if (!nt_ok(pe_open(file, PE_LAYOUT_FILE, &image, &err))) {
        snprintf(verdict->first, sizeof(verdict->first), "%s", err.rule ? err.rule : "unreadable");
        snprintf(verdict->all, sizeof(verdict->all), "%s", err.text);
        verdict->count = 1;
        return;
    }
    image.windows = c->windows;
    if (!c->row->dll)
        query.stages |= PE_STAGE_PROCESS;
    if (pe_must_move(&image))
        query.stages |= PE_STAGE_MOVE;
    pe_rules_each(&image, query, note, verdict);
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
    else if (c->refused && c->row->alone && verdict.count != 1)
        odd_complain(c, "not %s alone: %s", c->refused, verdict.all);
}
