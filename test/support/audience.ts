/** What the API is called in tokens' `aud`. */
export const audience = 'https://api.example.com';
