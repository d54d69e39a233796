// Shared by pages that ask or label: pictures of inputs, and calls.
window.clipperPaint = (canvas, numbers, { side, darkest }) => {
  const cell = canvas.width / side;
  const context = canvas.getContext("2d");
  numbers.forEach((value, index) => {
    const shade = Math.round(255 - (value / darkest) * 235);
    context.fillStyle = `rgb(${shade},${shade},${Math.min(255, shade + 8)})`;
    context.fillRect((index % side) * cell, Math.floor(index / side) * cell, cell, cell);
  });
};

/** A label is JSON where it reads as JSON, else text: 7 is a number, cat is "cat". */
window.clipperLabel = (text) => {
  try {
    JSON.parse(text);
    return text;
  } catch {
    return JSON.stringify(text);
  }
};

/** Return an input's JSON as it was typed: numbers keep all their digits. */
window.clipperJson = (text) => {
  if (!text) throw new Error("Enter an input first.");
  try {
    JSON.parse(text);
  } catch (error) {
    throw new Error(`The input is not JSON: ${error.message}`);
  }
  return text;
};

/** Post to the console (a form, with the page's token), or ask the API as `by` may. */
window.clipperCall = async (url, body, by) => {
  const form = body instanceof FormData;
  if (form) body.append("csrfmiddlewaretoken", document.querySelector("[name=csrfmiddlewaretoken]").value);
  const headers = { Accept: "application/json", ...(by && { Authorization: by }) };
  if (body && !form) headers["Content-Type"] = "application/json";
  const method = body ? "POST" : "GET";
  const credentials = form ? "same-origin" : "omit";
  const signal = AbortSignal.timeout(15000);
  const answer = await fetch(url, { method, body, headers, credentials, signal });
  const result = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(result.error || `The server answered ${answer.status}.`);
  return result;
};
