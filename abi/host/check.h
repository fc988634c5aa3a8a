/* SPDX-License-Identifier: MIT */
#ifndef ABI_HOST_CHECK_H
#define ABI_HOST_CHECK_H
/*
 * What --check prints: the plugin's own lines for people, or its report as JSON. Pure but for the outlet; any
 * thread.
 */
#include "abi/openclaw_plugin.h"

#include <stdbool.h>

struct outlet;

/* The payload of OC_CMD_CHECK. */
struct oc_str check_request(bool json);
/* Prints what the command was answered with: a report, or a JSON string of lines. */
void check_print(struct outlet *to, struct oc_str answer, bool json);
/* Prints the faults of a configuration, one a line, in the same form. They are ended with a NUL. */
void check_print_faults(struct outlet *to, const char *faults, bool json);

#endif
