/*
 * Forwarder strings: "Module.Name" and "Module.#ordinal" (PE specification, "Export Address
 * Table").
 *
 * The split is at the last dot, because a module's name may hold dots itself (facts 3.5).
 */
#include <string.h>

#include "pe/exports.h"

static bool parse_ordinal(const char *digits, uint32_t len, uint16_t *out)
{
    uint32_t value = 0;
    if (len == 0 || len > 5)
        return false;
    for (uint32_t i = 0; i < len; i++) {
        if (digits[i] < '0' || digits[i] > '9')
            return false;
        value = value * 10 + (uint32_t)(digits[i] - '0');
    }
    if (value > UINT16_MAX)
        return false;
    *out = (uint16_t)value;
    return true;
}

bool pe_forwarder_split(struct pe_str forwarder, struct pe_str *module, struct pe_str *name,
                        uint16_t *ordinal)
{
    const char *dot = forwarder.ptr ? memrchr(forwarder.ptr, '.', forwarder.len) : NULL;
    if (!dot || dot == forwarder.ptr)
        return false;
    uint32_t module_len = (uint32_t)(dot - forwarder.ptr);
    struct pe_str target = {dot + 1, forwarder.len - module_len - 1};
    if (target.len == 0)
        return false;
    if (target.ptr[0] == '#') {
        if (!parse_ordinal(target.ptr + 1, target.len - 1, ordinal))
            return false;
        target = (struct pe_str){NULL, 0};
    }
    *module = (struct pe_str){forwarder.ptr, module_len};
    *name = target;
    return true;
}
