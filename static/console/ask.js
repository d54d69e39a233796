// Shared by pages that ask or label: pictures of inputs, and calls with a short pass.
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

/** Post to the console (a form, with the page's token) or to the API (JSON, with a pass). */
window.clipperPost = async (url, body, pass) => {
  const form = body instanceof FormData;
  if (form) body.append("csrfmiddlewaretoken", document.querySelector("[name=csrfmiddlewaretoken]").value);
  const headers = form ? {} : { "Content-Type": "application/json", Authorization: `Pass ${pass}` };
  const answer = await fetch(url, { method: "POST", body, headers, signal: AbortSignal.timeout(15000) });
  const result = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(result.error || `The server answered ${answer.status}.`);
  return result;
};
