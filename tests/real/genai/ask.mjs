// Has Google's SDK ask for videos; run it where its packages are. Reads a list of
// {"sdk":"genai-3","options":{…},"call":"videos","request":{…}} from the standard input and makes
// each call in turn; options are the client's, and its "token" stands for a fetched one.
// Writes a list of what came of them: "", or the error.
import {readFileSync} from 'node:fs';
import {createRequire} from 'node:module';

const require = createRequire(`${process.cwd()}/`);
const {OAuth2Client} = require('google-auth-library');

function client(sdk, {token, ...options}) {
  if (token) {
    const authClient = new OAuth2Client();
    authClient.setCredentials({access_token: token, expiry_date: Date.now() + 3600000});
    options.googleAuthOptions = {authClient};
  }
  return new (require(sdk).GoogleGenAI)(options);
}

function operation(sdk, name) {
  return Object.assign(new (require(sdk).GenerateVideosOperation)(), {name});
}

// "request" is the call's argument; of those with an operation, its name.
const calls = {
  videos: (ai, request) => ai.models.generateVideos(request),
  videosPoll: (ai, name, sdk) =>
    ai.operations.getVideosOperation({operation: operation(sdk, name)}),
  interactions: (ai, request) => ai.interactions.create(request),
  interactionsPoll: (ai, name) => ai.interactions.get(name),
  interactionsCancel: (ai, name) => ai.interactions.cancel(name),
};

async function ask({sdk, options, call, request}) {
  await calls[call](client(sdk, options), request, sdk);
}

const outcomes = [];
for (const question of JSON.parse(readFileSync(0, 'utf8'))) {
  outcomes.push(await ask(question).then(() => '', (error) => String(error)));
}
console.log(JSON.stringify(outcomes));
