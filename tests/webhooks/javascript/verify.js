// Reads deliveries as lines of JSON, {secret, headers, body (base64)}; writes for each whether the library accepts it.
const { Webhook } = require("standardwebhooks");
const lines = require("fs").readFileSync(0, "utf8").split("\n").filter(Boolean);
for (const line of lines) {
  const { secret, headers, body } = JSON.parse(line);
  let accepted = true;
  try {
    new Webhook(secret).verify(Buffer.from(body, "base64").toString("utf8"), headers);
  } catch (error) {
    accepted = false;
  }
  console.log(accepted);
}
