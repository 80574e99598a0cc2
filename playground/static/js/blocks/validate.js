/**
 * What a client refuses before it asks the server: required fields and the limits an element declares. Pure.
 */
import { content, isEmpty } from "./values.js";

const EMAIL = /^[^\s@]+@[^\s@]+\.[^\s@]+$/;

const CHECKS = {
  plain_text_input: lengthProblem,
  number_input: numberProblem,
  email_text_input: (text) => (EMAIL.test(text) ? null : "Enter an e-mail address, such as name@example.com."),
  url_text_input: (text) => (URL.canParse(text) ? null : "Enter a complete address, such as https://example.com."),
};

/** @returns {Object<string, string>} an error text per block_id; empty when the view may be submitted */
export function findErrors(blocks, state) {
  const errors = {};
  for (const block of blocks.filter(({ type }) => type === "input")) {
    const value = state[block.block_id]?.[block.element.action_id];
    const problem = value && fieldProblem(block, value);
    if (problem) errors[block.block_id] = problem;
  }
  return errors;
}

function fieldProblem(block, value) {
  if (isEmpty(value)) return block.optional ? null : "Please fill in this field.";
  return CHECKS[block.element.type]?.(content(value), block.element) ?? null;
}

function lengthProblem(text, { min_length: least = 0, max_length: most = 3000 }) {
  if (text.length < least) return `Use at least ${least} characters.`;
  return text.length > most ? `Use at most ${most} characters (now ${text.length}).` : null;
}

function numberProblem(text, { is_decimal_allowed: decimals, min_value: least, max_value: most }) {
  const number = Number(text);
  if (Number.isNaN(number)) return "Enter a number.";
  if (!decimals && !Number.isInteger(number)) return "Enter a whole number.";
  if (least !== undefined && number < Number(least)) return `Enter ${least} or more.`;
  return most !== undefined && number > Number(most) ? `Enter ${most} or less.` : null;
}
